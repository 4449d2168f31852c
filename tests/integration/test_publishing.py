"""Publishing on a real broker: steps, declarations, the engine and other code, up to the bytes in the topic."""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path

from tasker_kafka.handlers import PermanentError, RetryableError, StepContext, step_handler
from tasker_kafka.handlers.publishing import EventPublisher
from tasker_kafka.handlers.testing import WorkflowTest
from tasker_kafka.schemas.identity import event_id, format_id
from tasker_kafka.schemas.template import Event, Retry, Template
from tasker_kafka.topics.brokers import Broker
from tests.support.patience import PATIENCE_SECONDS
from tests.support.published import Sent, published, read_events
from tests.support.system import running

SCHEMA = {
    "type": "object",
    "properties": {"amount": {"type": "number"}, "card": {"x-redact": True}},
    "required": ["amount"],
}
PAY = (
    Template("pay", namespace="shop")
    .step(
        "charge",
        handler="pay.charge",
        retry=Retry(max_attempts=2, backoff="none"),
        publishes_events=[
            Event("payment.charged", SCHEMA, delivery="durable", key="$.customer"),
            Event("payment.seen", condition="always", delivery="fire_and_forget"),
            Event("payment.retried", condition="retryable_failure", delivery="durable"),
            Event("payment.refused", condition="permanent_failure", delivery="acknowledged"),
        ],
    )
    .event(Event("pay.done", delivery="durable"))
    .event(Event("pay.failed", condition="failed", delivery="durable"))
)


@step_handler("pay.charge")
async def charge(context: StepContext) -> dict[str, float]:
    """Charges, refuses, or has to try twice: as the context says."""
    mode = context.task_context["mode"]
    if mode == "refuse":
        raise PermanentError("no funds", code="no_funds")
    if mode == "twice" and context.attempt == 1:
        raise RetryableError("busy", code="busy")
    await context.publish("payment.charged", {"amount": 12.5, "card": "4111", "customer": "c-1"})
    return {"fee": 0.5}


def test_a_step_tells_its_story(kafka: Broker, prefix: str) -> None:
    with WorkflowTest(
        [PAY], [charge], broker=kafka.bootstrap_servers, prefix=prefix, partitions=2
    ) as workflow:
        tasks = {
            mode: workflow.run("pay", {"mode": mode}, namespace="shop")
            for mode in ("once", "twice", "refuse")
        }
        wanted = {
            "once": Counter({"payment.charged": 1, "payment.seen": 1, "pay.done": 1}),
            "twice": Counter({"payment.retried": 1, "payment.seen": 2, "payment.charged": 1, "pay.done": 1}),
            "refuse": Counter({"payment.refused": 1, "payment.seen": 1, "pay.failed": 1}),
        }
        found = wait_published(workflow, sum(each.total() for each in wanted.values()))
    for mode, task in tasks.items():
        own = [each for each in found if format_id(each.event.task_id or b"") == task.task_id]
        assert Counter(each.event.name for each in own) == wanted[mode], mode
    charged = [each for each in found if each.event.name == "payment.charged"]
    assert {each.record.key for each in charged} == {b"c-1"}
    assert {each.record.partition for each in charged} == {charged[0].record.partition}
    assert charged[0].payload == {"amount": 12.5, "card": "[FILTERED]", "customer": "c-1"}
    (refused,) = [each for each in found if each.event.name == "payment.refused"]
    assert refused.payload["error_code"] == "no_funds"
    assert dict(refused.record.headers)["tasker-delivery"] == b"acknowledged"


def wait_published(workflow: WorkflowTest, count: int) -> list[Sent]:
    """The events, as soon as there are `count`: fire-and-forget ones come some time after their task."""
    until = time.monotonic() + PATIENCE_SECONDS
    while len(found := published(workflow, "shop")) < count:
        assert time.monotonic() < until, [each.event.name for each in found]
        workflow.advance(0.05)
    return found


async def test_other_code_publishes_what_templates_declare(kafka: Broker, prefix: str) -> None:
    with WorkflowTest([PAY], [charge], broker=kafka.bootstrap_servers, prefix=prefix) as workflow:
        async with EventPublisher("shop", bootstrap=kafka.bootstrap_servers, prefix=prefix) as events:
            first = await events.publish("payment.charged", {"amount": 1, "customer": "c-9"})
            for _ in range(50):
                await events.publish("payment.seen", {"n": 1})
        assert events.figures.sent == 50
        found = published(workflow, "shop")
    assert len(found) == 51
    assert [format_id(each.event.event_id) for each in found if each.record.key == b"c-9"] == [first]


STORY = (
    Template("story")
    .step("first", handler="test.noop", publishes_events=[Event("story.begun", delivery="durable")])
    .step(
        "second",
        handler="test.flaky",
        depends_on=["first"],
        retry=Retry(max_attempts=3, backoff="none"),
        publishes_events=[
            Event("story.tried", condition="failure", delivery="durable"),
            Event("story.told", delivery="durable"),
        ],
    )
    .event(Event("story.over", delivery="durable"))
)


async def test_kills_lose_no_event_and_repeats_are_the_same_bytes(
    kafka: Broker, prefix: str, tmp_path: Path
) -> None:
    plan = STORY.compile()
    async with running(kafka.bootstrap_servers, prefix, tmp_path, [plan]) as system:
        ids = await system.submit(plan, 200)
        await system.wait_closed(ids[:20])
        system.kill("orchestrator-0")
        system.restart("orchestrator-0")
        ids += await system.submit(plan, 200)
        await system.wait_closed(ids[:220])
        system.kill("worker-0")
        system.restart("worker-0")
        records = await system.wait_closed(ids)
        found = await read_events(system.log, system.names, "default")
    known: dict[bytes, Sent] = {}
    for each in found:
        first = known.setdefault(each.event.event_id, each)
        assert (each.record.key, each.record.value) == (first.record.key, first.record.value)
    names = Counter(each.event.name for each in known.values())
    assert names == dict.fromkeys(("story.begun", "story.tried", "story.told", "story.over"), len(ids))
    for task_id in ids:
        life = records[task_id][0].life
        assert event_id(task_id, life, "first", 1, "story.begun", 0) in known
        assert event_id(task_id, life, "second", 1, "story.tried", 0) in known
        assert event_id(task_id, life, "second", 2, "story.told", 0) in known
