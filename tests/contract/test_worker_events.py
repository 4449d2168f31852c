"""What a worker makes of events: candidates in its answers, fire-and-forget records in the topic."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import msgspec
import pytest

from tasker_kafka.handlers import PermanentError, StepContext, step_handler
from tasker_kafka.handlers.publishing import EventDraft, EventError, event_publisher
from tasker_kafka.handlers.publishing.desk import EventDeskSettings
from tasker_kafka.schemas.codec import decode
from tasker_kafka.schemas.errors import ConfigurationError
from tasker_kafka.schemas.identity import event_id, format_id
from tasker_kafka.schemas.plan import EventDeclaration, PlanStep
from tasker_kafka.schemas.records import DomainEvent, StepResult
from tasker_kafka.schemas.words import Delivery, EventCondition, Outcome
from tasker_kafka.topics.log import Record

from . import process_handlers
from .worker_rig import FAST, Rig, failure, step_of, task, value_of
from .worker_sides import Side, play

NUMBER = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
LOSSY = Delivery.FIRE_AND_FORGET


def declared(name: str, condition: str = "success", **fields: Any) -> EventDeclaration:
    given: dict[str, Any] = {"delivery": Delivery.DURABLE, **fields}
    return EventDeclaration(name=name, condition=EventCondition(condition), **given)


def telling(*events: EventDeclaration, **changes: Any) -> list[PlanStep]:
    """A step that declares these, and one that declares nothing."""
    return [step_of("one", publishes_events=events, **changes), step_of("two")]


def payloads(result: StepResult) -> list[tuple[str, Any, int]]:
    """Name, payload and position of each candidate of an answer."""
    return [(each.name, msgspec.json.decode(each.payload), each.position) for each in result.events]


async def sent(made: Rig, count: int) -> list[tuple[Record, DomainEvent]]:
    """The events in the namespace's topic, as soon as there are `count`."""
    while True:
        found = await made.read(made.names.domain_events("default"))
        if len(found) >= count:
            return [(each, decode(each.value or b"", DomainEvent)) for each in found]
        await asyncio.sleep(0.05)


@step_handler("one")
async def publishes_two(context: StepContext) -> str:
    """Twice the same name, and one that is not declared."""
    await context.publish("order.done", {"n": 1})
    await context.publish("order.done", {"n": 2})
    with pytest.raises(EventError, match=r"step one declares no event 'order.gone'; did you mean"):
        await context.publish("order.gone", {})
    return "done"


def test_what_a_handler_publishes_is_in_its_answer(side: Side) -> None:
    async def scenario(made: Rig) -> None:
        await made.work(publishes_two)
        await made.dispatch(1)
        result = await made.result()
        assert payloads(result) == [("order.done", {"n": 1}, 0), ("order.done", {"n": 2}, 1)]
        assert {each.key for each in result.events} == {format_id(task(1))}
        assert await made.read(made.names.domain_events("default")) == []

    play(side, scenario, steps=telling(declared("order.done", schema=NUMBER)))


def test_a_child_process_publishes_too(side: Side) -> None:
    async def scenario(made: Rig) -> None:
        await made.work(process_handlers.telling, process_handlers.telling_async)
        await made.dispatch(1)
        first = await made.result()
        assert value_of(first).startswith(
            "undeclared_event: step one declares no event 'order.dona'; did you mean `order.done`"
        )
        assert "publishes_events" in value_of(first)
        assert [name for name, _, _ in payloads(first)] == ["order.done"]
        await made.dispatch(2, "two")
        found = failure(await made.result(2))
        assert (found.code, found.retryable) == ("invalid_event", False)
        assert "event order.done: payload.n" in found.message

    event = declared("order.done", schema=NUMBER)
    steps = [
        step_of("one", handler="telling", publishes_events=(event,)),
        step_of("two", handler="telling_async", publishes_events=(event,)),
    ]
    play(side, scenario, steps=steps)


def test_a_step_that_declares_nothing_publishes_nothing(side: Side) -> None:
    @step_handler("two")
    async def two(context: StepContext) -> None:
        await context.publish("order.done", {"n": 1})

    async def scenario(made: Rig) -> None:
        await made.work(two)
        await made.dispatch(1, "two")
        result = await made.result()
        assert failure(result).code == "undeclared_event"
        assert result.events == ()

    play(side, scenario, steps=telling())


EVERY = (
    declared("made.success"),
    declared("made.failure", "failure"),
    declared("made.retryable", "retryable_failure"),
    declared("made.permanent", "permanent_failure"),
    declared("made.always", "always"),
    declared("made.unfit", schema={"required": ["no_such_field"]}),
)


@step_handler("one")
async def succeeds_or_not(context: StepContext) -> dict[str, int]:
    """As the context says."""
    if context.task_context.get("fail"):
        raise PermanentError("no funds", code="no_funds")
    return {"n": 5}


def test_what_nobody_published_is_made_from_the_end(side: Side) -> None:
    async def scenario(made: Rig) -> None:
        await made.work(succeeds_or_not)
        await made.dispatch(1)
        assert payloads(await made.result()) == [("made.success", {"n": 5}, 0), ("made.always", {"n": 5}, 0)]
        await made.dispatch(2, context={"fail": True}, attempt=3)
        told = {
            "error_type": "PermanentError",
            "error_code": "no_funds",
            "error_message": "no funds",
            "attempt": 3,
        }
        names = ["made.failure", "made.retryable", "made.permanent", "made.always"]
        assert payloads(await made.result(2)) == [(name, told, 0) for name in names]

    play(side, scenario, steps=telling(*EVERY))


def test_what_the_handler_published_is_not_made_again(side: Side) -> None:
    @step_handler("one")
    def one(context: StepContext) -> dict[str, int]:
        context.publish_and_wait("made.success", {"own": True})
        return {"n": 5}

    async def scenario(made: Rig) -> None:
        await made.work(one)
        await made.dispatch(1)
        assert payloads(await made.result()) == [
            ("made.success", {"own": True}, 0),
            ("made.always", {"n": 5}, 0),
        ]

    play(side, scenario, steps=telling(*EVERY))


def test_a_handler_that_hangs_has_failed(side: Side) -> None:
    let_go = threading.Event()

    @step_handler("one")
    def one(context: StepContext) -> None:
        context.publish_and_wait("made.always", {"own": True})
        let_go.wait(60)

    async def scenario(made: Rig) -> None:
        await made.work(one)
        await made.dispatch(1)
        result = await made.result()
        let_go.set()
        assert failure(result).code == "timeout"
        names = ["made.always", "made.failure", "made.retryable", "made.permanent"]
        assert [name for name, _, _ in payloads(result)] == names

    play(side, scenario, steps=telling(*EVERY, timeout_ms=500))


def test_a_dispatch_that_is_cancelled_before_it_runs_has_failed(side: Side) -> None:
    async def scenario(made: Rig) -> None:
        await made.cancel(1)
        await made.work(succeeds_or_not)
        await made.dispatch(2)
        await made.result(2)
        await made.dispatch(1, dispatched_at=1)
        result = await made.result(1)
        assert failure(result).code == "cancelled"
        assert [each.condition for each in result.events] == [
            "failure",
            "retryable_failure",
            "permanent_failure",
            "always",
        ]

    play(side, scenario, steps=telling(*EVERY))


def test_a_publish_after_the_end_is_refused(side: Side) -> None:
    late: list[asyncio.Task[None]] = []

    @step_handler("one")
    async def one(context: StepContext) -> None:
        async def later() -> None:
            await asyncio.sleep(0.2)
            await context.publish("order.done", {"n": 1})

        late.append(asyncio.create_task(later()))

    async def scenario(made: Rig) -> None:
        await made.work(one)
        await made.dispatch(1)
        assert (await made.result()).events == ()
        with pytest.raises(EventError, match="the handler has ended"):
            await late[0]

    play(side, scenario, steps=telling(declared("order.done", schema=NUMBER)))


# --------------------------------------------------------------------------------------- fire and forget


def test_fire_and_forget_leaves_once_the_answer_is_acknowledged(side: Side) -> None:
    async def scenario(made: Rig) -> None:
        running = await made.work(publishes_two)
        await made.dispatch(1)
        result = await made.result()
        assert result.events == ()
        found = await sent(made, 2)
        assert [event.event_id for _, event in found] == [
            event_id(task(1), 0, "one", 1, "order.done", position) for position in (0, 1)
        ]
        (record, event), _ = found
        headers = dict(record.headers)
        assert (headers["tasker-delivery"], headers["ce_type"]) == (b"fire_and_forget", b"order.done")
        assert headers["traceparent"].startswith(b"00-")
        assert (event.fired_by, event.step_name, event.attempt) == ("one", "one", 1)
        await running.stop()

    play(side, scenario, steps=telling(declared("order.done", schema=NUMBER, delivery=LOSSY)))


@pytest.mark.parametrize(
    ("last_attempt", "expected"),
    [(False, {"a.failure", "a.retryable"}), (True, {"a.failure", "a.permanent"})],
)
def test_fire_and_forget_failures(side: Side, last_attempt: bool, expected: set[str]) -> None:
    @step_handler("one")
    async def one() -> None:
        raise ValueError("no")

    async def scenario(made: Rig) -> None:
        await made.work(one)
        await made.dispatch(1, last_attempt=last_attempt)
        await made.result()
        assert {event.name for _, event in await sent(made, 2)} == expected

    events = [
        declared("a.failure", "failure", delivery=LOSSY),
        declared("a.retryable", "retryable_failure", delivery=LOSSY),
        declared("a.permanent", "permanent_failure", delivery=LOSSY),
    ]
    play(side, scenario, steps=telling(*events))


def test_fire_and_forget_events_wait_for_no_topic(side: Side) -> None:
    """Their topic is missing: the step succeeds, and the events are counted as lost."""

    async def scenario(made: Rig) -> None:
        await made.log.admin().delete([made.names.domain_events("default")])
        running = await made.work(publishes_two)
        for number in (1, 2):
            await made.dispatch(number)
            assert (await made.result(number)).outcome is Outcome.SUCCESS
        await running.stop()
        figures = running.worker.events
        assert figures.accepted == 4
        assert figures.failed + figures.dropped == 4

    play(side, scenario, steps=telling(declared("order.done", schema=NUMBER, delivery=LOSSY)))


# ------------------------------------------------------------------------------------------- publishers


@event_publisher("order.enrich")
def enrich(draft: EventDraft) -> Any:
    """Adds where it comes from; a negative number is not published."""
    n = draft.payload["n"]
    if n == 99:
        raise ValueError("no such order")
    return None if n < 0 else {"n": n + 1, "by": draft.template, "made": draft.is_made}


@event_publisher("order.slow")
async def slow(draft: EventDraft) -> Any:
    """Never ends."""
    await asyncio.Event().wait()


@step_handler("one")
async def publishes_numbers(context: StepContext) -> dict[str, int]:
    """Those of the context, or none."""
    for n in context.task_context.get("numbers", ()):
        await context.publish("order.done", {"n": n})
    return {"n": 7}


def test_a_publisher_enriches_vetoes_and_never_harms(side: Side) -> None:
    async def scenario(made: Rig) -> None:
        await made.work(publishes_numbers, enrich)
        await made.dispatch(1, context={"numbers": [1, -1, 99, 4]})
        result = await made.result()
        assert result.outcome is Outcome.SUCCESS
        assert payloads(result) == [
            ("order.done", {"n": 2, "by": "t", "made": False}, 0),
            ("order.done", {"n": 5, "by": "t", "made": False}, 3),
        ]
        await made.dispatch(2)
        assert payloads(await made.result(2)) == [("order.done", {"n": 8, "by": "t", "made": True}, 0)]

    play(side, scenario, steps=telling(declared("order.done", schema=NUMBER, publisher="order.enrich")))


@event_publisher("order.rough")
def rough(draft: EventDraft) -> Any:
    """Changes what it was given."""
    draft.payload["n"] += 1
    return draft.payload


def test_a_publisher_has_a_payload_of_its_own(side: Side) -> None:
    async def scenario(made: Rig) -> None:
        await made.work(publishes_numbers, rough)
        await made.dispatch(1)
        assert [payload for _, payload, _ in payloads(await made.result())] == [{"n": 8}, {"n": 8}]

    play(side, scenario, steps=telling(*(declared(name, publisher="order.rough") for name in ("a.b", "a.c"))))


def test_a_publisher_that_hangs_costs_its_event_only(side: Side) -> None:
    async def scenario(made: Rig) -> None:
        settings = msgspec.structs.replace(FAST, events=EventDeskSettings(publisher_seconds=0.2))
        await made.work(publishes_numbers, slow, settings=settings)
        await made.dispatch(1, context={"numbers": [1]})
        result = await made.result()
        assert (result.outcome, result.events) == (Outcome.SUCCESS, ())

    play(side, scenario, steps=telling(declared("order.done", publisher="order.slow")))


def test_a_publisher_that_is_not_there_is_an_error_at_start(side: Side) -> None:
    async def scenario(made: Rig) -> None:
        running = await made.work(publishes_numbers, enrich)
        running.is_over = True
        with pytest.raises(ConfigurationError, match=r"'order.enrch'.*did you mean `order.enrich`"):
            await running.task
        await running.plans.stop()
        await running.log.close()

    play(side, scenario, steps=telling(declared("order.done", publisher="order.enrch")))
