"""The client against both logs. The engine is played by the test, so that every answer can be arranged."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, cast

import msgspec
import pytest

from tasker_kafka.schemas.codec import decode, encode
from tasker_kafka.schemas.errors import (
    CommandRejected,
    ConfigurationError,
    EncodeError,
    NotFoundError,
    RequestRejected,
    SchemaUnknown,
    TaskFailed,
    WaitTimeout,
)
from tasker_kafka.schemas.identity import format_id, new_request_id
from tasker_kafka.schemas.limits import LimitExceeded
from tasker_kafka.schemas.plan import Plan, PlanStep
from tasker_kafka.schemas.records import (
    NO_LIFE,
    OWNER_KEY,
    Answer,
    AttemptEnded,
    Command,
    OperatorCommand,
    OwnerMarker,
    PayloadRef,
    Rejection,
    RequestPlace,
    TaskClosed,
    TaskCreated,
    TaskRequest,
    Transition,
    Transitions,
    Value,
)
from tasker_kafka.schemas.words import (
    Cause,
    Identity,
    OperatorAction,
    Outcome,
    StepStatus,
    TaskStatus,
    TransitionEvent,
)
from tasker_kafka.topics import provision
from tasker_kafka.topics.client import TaskClient
from tasker_kafka.topics.declarations import TopicPlan, declarations
from tasker_kafka.topics.headers import for_owner
from tasker_kafka.topics.log import Log, Outbox, Record, TopicPartition, Write
from tasker_kafka.topics.memory import MemoryLog, run_virtual
from tasker_kafka.topics.names import TopicNames
from tasker_kafka.topics.partitioner import partition_for
from tasker_kafka.topics.payloads import Payloads
from tasker_kafka.topics.plans import publish

PARTITIONS = 2
STEPS = (PlanStep("pay", "pay", "shop"), PlanStep("ship", "ship", "shop", parents=("pay",)))
PLAN = Plan("shop", "checkout", "1.0.0", STEPS)
KEYED = Plan("shop", "keyed", "1.0.0", STEPS, identity=Identity.CALLER_PROVIDED)
MAPPED = Plan("shop", "mapped", "1.0.0", STEPS, output={"receipt": "$.pay.id"})


class Engine:
    """Plays the owner of every partition."""

    def __init__(self, log: Log, names: TopicNames, outbox: Outbox) -> None:
        self.log, self.names, self.outbox = log, names, outbox
        self.owners: dict[int, int] = {}
        self.command_offset = 100
        self.lives: dict[bytes, int] = {}

    async def take_over(self, partition: int) -> int:
        value = encode(OwnerMarker(0, "test", "0"))
        place = await self.outbox.write(Write(self.names.transitions, OWNER_KEY, value, partition=partition))
        self.owners[partition] = place.offset
        return place.offset

    async def write(
        self, task_id: bytes, *edges: Transition, answer: Answer | None = None, **extra: int
    ) -> None:
        """One decision about a task."""
        partition = partition_for(task_id, PARTITIONS)
        owner = extra.get("owner", self.owners[partition])
        self.command_offset += 1
        record = Transitions(
            life=self.lives.get(task_id, NO_LIFE),
            seq=1,
            command_offset=extra.get("command_offset", self.command_offset),
            at=0,
            transitions=edges,
            answer=answer,
        )
        await self.outbox.write(Write(self.names.transitions, task_id, encode(record), for_owner(owner)))

    async def create(self, task_id: bytes, request_id: bytes, plan: Plan = PLAN) -> None:
        self.lives[task_id] = self.command_offset
        created = TaskCreated(
            plan_hash=plan.hash,
            namespace=plan.namespace,
            name=plan.name,
            version=plan.version,
            request_id=request_id,
            task_id=task_id,
            request=RequestPlace(0, 0, 0),
            context=b"{}",
            identity=plan.identity,
            initiator="",
            source_system="",
            reason="",
            tags=(),
            correlation_id="",
            idempotency_key=None,
            requested_at=None,
            not_before=None,
            traceparent=None,
        )
        edge = task_edge(TransitionEvent.INITIALIZE_REQUESTED, None, TaskStatus.PENDING, created)
        await self.write(task_id, edge, *(step_edge(each.name, None, StepStatus.PENDING) for each in STEPS))

    async def finish_step(self, task_id: bytes, step: str, result: Value) -> None:
        ended = AttemptEnded(attempt=1, outcome=Outcome.SUCCESS, result=result)
        await self.write(task_id, step_edge(step, StepStatus.IN_PROGRESS, StepStatus.COMPLETE, ended))

    async def complete(self, task_id: bytes) -> None:
        event = TransitionEvent.ALL_STEPS_DONE
        await self.write(task_id, task_edge(event, TaskStatus.IN_PROGRESS, TaskStatus.COMPLETE))

    async def play(self, task_id: bytes, request_id: bytes, plan: Plan = PLAN) -> None:
        await self.create(task_id, request_id, plan)
        await self.finish_step(task_id, "pay", b'{"id":7}')
        await self.finish_step(task_id, "ship", b'"sent"')
        await self.complete(task_id)

    async def requests(self, count: int = 1) -> list[tuple[Record, TaskRequest]]:
        """The first `count` requests in the log, as intake reads them."""
        found = await self.read(self.names.task_requests, count)
        return [(each, decode(each.value, TaskRequest)) for each in found]

    async def read(self, topic: str, count: int) -> list[Record]:
        reader = await self.log.reader({TopicPartition(topic, number): 0 for number in range(PARTITIONS)})
        found: list[Record] = []
        while len(found) < count:
            for batch in (await reader.fetch()).values():
                found += batch.records
        await reader.close()
        return found

    async def play_request(self, plan: Plan = PLAN) -> TaskRequest:
        ((record, request),) = await self.requests()
        assert record.key is not None
        assert request.request_id is not None
        await self.play(record.key, request.request_id, plan)
        return request


def task_edge(
    event: TransitionEvent, before: TaskStatus | None, after: TaskStatus, data: Any = None
) -> Transition:
    return Transition(None, event, before, after, 0, Cause.EVALUATION, data)


def step_edge(step: str, before: StepStatus | None, after: StepStatus, data: Any = None) -> Transition:
    return Transition(step, TransitionEvent.COMPLETED, before, after, 0, Cause.RESULT, data)


Check = Callable[[TaskClient, Engine], Awaitable[None]]
Run = Callable[[Check], None]


async def scene(log: Log, names: TopicNames, check: Check) -> None:
    await log.start()
    try:
        plan = TopicPlan(partitions=PARTITIONS)
        await provision.create(log.admin(), declarations(names, plan))
        await publish(log, names, [PLAN, KEYED, MAPPED])
        outbox = await log.outbox(client_id="engine")
        await outbox.warm([names.transitions, names.rejections, names.payloads])
        engine = Engine(log, names, outbox)
        for partition in range(PARTITIONS):
            await engine.take_over(partition)
        async with TaskClient(log, names) as client:
            await check(client, engine)
        await outbox.close()
    finally:
        await log.close()


@pytest.fixture(params=["memory", pytest.param("kafka", marks=pytest.mark.kafka)])
def run(request: pytest.FixtureRequest, prefix: str) -> Iterator[Run]:
    """Runs a check on one of the two logs."""
    if request.param == "memory":
        yield lambda check: run_virtual(scene(MemoryLog(), TopicNames(prefix), check))
        return
    from tasker_kafka.topics.kafka import KafkaLog

    broker = request.getfixturevalue("kafka")
    yield lambda check: asyncio.run(scene(KafkaLog(broker.bootstrap_servers), TopicNames(prefix), check))


def test_the_output_of_a_task(run: Run) -> None:
    async def check(client: TaskClient, engine: Engine) -> None:
        running = asyncio.create_task(client.run("checkout", {"cart": [1]}, namespace="shop", timeout=20))
        request = await engine.play_request()
        assert request.context == b'{"cart":[1]}'
        assert await running == {"ship": "sent"}

    run(check)


def test_the_id_is_known_before_and_the_request_lies_under_it(run: Run) -> None:
    async def check(client: TaskClient, engine: Engine) -> None:
        handle = await client.submit("checkout", namespace="shop", tags=("a",), reason="test")
        ((record, request),) = await engine.requests()
        assert record.key == handle.task_id == request.request_id
        assert (request.tags, request.reason, request.context) == (("a",), "test", b"{}")
        assert record.partition == partition_for(handle.task_id, PARTITIONS)

    run(check)


def test_a_result_that_came_before_anybody_waited(run: Run) -> None:
    async def check(client: TaskClient, engine: Engine) -> None:
        handle = await client.submit("mapped", namespace="shop")
        await engine.play_request(MAPPED)
        assert await handle.result(20) == {"receipt": 7}
        assert await handle.result(20) == {"receipt": 7}

    run(check)


def test_large_results_are_fetched(run: Run) -> None:
    async def check(client: TaskClient, engine: Engine) -> None:
        handle = await client.submit("checkout", namespace="shop")
        ((_, request),) = await engine.requests()
        await engine.create(handle.task_id, request.request_id or b"")
        payloads = Payloads(engine.log, engine.names, engine.outbox)
        ref = await payloads.store(handle.task_id, b'"' + b"x" * 10_000 + b'"')
        await engine.finish_step(handle.task_id, "ship", ref)
        await engine.complete(handle.task_id)
        assert await handle.result(20) == {"ship": "x" * 10_000}

    run(check)


def test_many_at_once_each_get_their_own(run: Run) -> None:
    async def check(client: TaskClient, engine: Engine) -> None:
        requests = [client.request("checkout", {"n": number}, namespace="shop") for number in range(40)]
        handles = await client.submit_many(requests)
        assert len({each.task_id for each in handles}) == 40
        for record, request in await engine.requests(40):
            task_id, request_id = record.key or b"", request.request_id or b""
            await engine.create(task_id, request_id)
            await engine.finish_step(task_id, "ship", request.context)
            await engine.complete(task_id)
        results = [await each.result(20) for each in handles]
        assert results == [{"ship": {"n": number}} for number in range(40)]

    run(check)


def test_a_failed_task_says_why(run: Run) -> None:
    async def check(client: TaskClient, engine: Engine) -> None:
        handle = await client.submit("checkout", namespace="shop")
        ((_, request),) = await engine.requests()
        await engine.create(handle.task_id, request.request_id or b"")
        why = TaskClosed(error_code="blocked", error_message="pay: card declined", failed_steps=("pay",))
        event = TransitionEvent.GIVE_UP
        await engine.write(
            handle.task_id,
            step_edge("pay", StepStatus.IN_PROGRESS, StepStatus.ERROR),
            task_edge(event, TaskStatus.BLOCKED_BY_FAILURES, TaskStatus.ERROR, why),
        )
        with pytest.raises(
            TaskFailed, match=r"ended as error: pay: card declined \(blocked\); steps in error: pay"
        ) as caught:
            await handle.result(20)
        assert caught.value.state == "error"
        assert (await handle.wait(20)).state is TaskStatus.ERROR

    run(check)


def test_status_before_and_after(run: Run) -> None:
    async def check(client: TaskClient, engine: Engine) -> None:
        handle = await client.submit("checkout", namespace="shop")
        assert (await handle.status()).state is None
        ((_, request),) = await engine.requests()
        await engine.create(handle.task_id, request.request_id or b"")
        await engine.finish_step(handle.task_id, "pay", b"1")
        found = await handle.status()
        assert (found.state, found.is_closed) == (TaskStatus.PENDING, False)
        assert found.steps == {"pay": StepStatus.COMPLETE, "ship": StepStatus.PENDING}
        assert found.results == {"pay": b"1"}

    run(check)


async def reject(
    engine: Engine, record: Record, request_id: bytes | None, code: str = "invalid_context"
) -> None:
    rejection = Rejection(
        code=code,
        message="cart: is missing",
        path="context.cart",
        topic=record.topic,
        partition=record.partition,
        offset=record.offset,
        rejected_at=0,
        request_id=request_id,
        key=record.key,
        value=record.value,
    )
    await engine.outbox.write(Write(engine.names.rejections, record.key, encode(rejection)))


@pytest.mark.parametrize("is_named", [True, False], ids=["by id", "by place"])
def test_a_rejection_reaches_who_waits(run: Run, is_named: bool) -> None:
    async def check(client: TaskClient, engine: Engine) -> None:
        handle = await client.submit("checkout", namespace="shop")
        ((record, request),) = await engine.requests()
        await reject(engine, record, request.request_id if is_named else None)
        with pytest.raises(RequestRejected, match=r"cart: is missing \(at context\.cart\)") as caught:
            await handle.result(20)
        assert caught.value.code == "invalid_context"
        with pytest.raises(RequestRejected):
            await handle.status()

    run(check)


def test_a_duplicate_is_not_taken_for_the_task_that_was_there(run: Run) -> None:
    async def check(client: TaskClient, engine: Engine) -> None:
        first = await client.submit("keyed", namespace="shop", idempotency_key="order-1")
        ((_, request),) = await engine.requests()
        await engine.create(first.task_id, request.request_id or b"", KEYED)
        second = await client.submit("keyed", namespace="shop", idempotency_key="order-1")
        assert second.task_id == first.task_id
        requests = [each for _, each in await engine.requests(2)]
        other = next(each.request_id for each in requests if each.request_id != request.request_id)
        assert other is not None
        await engine.finish_step(first.task_id, "ship", b"1")
        await engine.complete(first.task_id)
        await engine.write(first.task_id, answer=Answer(other, "duplicate", "the task is complete"))
        with pytest.raises(RequestRejected, match="the task is complete") as caught:
            await second.result(20)
        assert caught.value.code == "duplicate"
        assert await first.result(20) == {"ship": 1}

    run(check)


def test_the_same_request_again_finds_its_task(run: Run) -> None:
    async def check(client: TaskClient, engine: Engine) -> None:
        request_id = new_request_id()
        await client.submit("checkout", namespace="shop", request_id=request_id)
        await engine.play_request()
        again = await client.submit("checkout", namespace="shop", request_id=request_id)
        assert await again.result(20) == {"ship": "sent"}

    run(check)


def test_a_task_is_found_by_its_id(run: Run) -> None:
    async def check(client: TaskClient, engine: Engine) -> None:
        handle = await client.submit("checkout", namespace="shop")
        await engine.play_request()
        found = await client.task(handle.id)
        assert await found.result(20) == {"ship": "sent"}
        with pytest.raises(NotFoundError, match="no task"):
            await client.task(new_request_id())

    run(check)


def test_what_a_deposed_owner_writes_does_not_count(run: Run) -> None:
    async def check(client: TaskClient, engine: Engine) -> None:
        handle = await client.submit("checkout", namespace="shop")
        ((_, request),) = await engine.requests()
        await engine.create(handle.task_id, request.request_id or b"")
        partition = partition_for(handle.task_id, PARTITIONS)
        old = engine.owners[partition]
        await engine.take_over(partition)
        cancelled = task_edge(TransitionEvent.CANCELLED, TaskStatus.PENDING, TaskStatus.CANCELLED)
        await engine.write(handle.task_id, cancelled, owner=old)
        assert (await handle.status()).state is TaskStatus.PENDING
        await engine.complete(handle.task_id)
        await engine.write(handle.task_id, cancelled, command_offset=engine.command_offset)
        assert (await handle.status()).state is TaskStatus.COMPLETE

    run(check)


def test_a_zombie_is_known_by_what_lies_before_the_client_came(run: Run) -> None:
    """The client was not there when the new owner took over; it looks back for the owner in office."""

    async def check(client: TaskClient, engine: Engine) -> None:
        old = dict(engine.owners)
        for partition in range(PARTITIONS):
            await engine.take_over(partition)
        async with TaskClient(engine.log, engine.names) as later:
            handle = await later.submit("checkout", namespace="shop")
            ((_, request),) = await engine.requests()
            new, engine.owners = engine.owners, old
            await engine.create(handle.task_id, request.request_id or b"")
            assert (await handle.status()).state is None
            engine.owners = new
            await engine.create(handle.task_id, request.request_id or b"")
            assert (await handle.status()).state is TaskStatus.PENDING

    run(check)


def test_waiting_ends_in_time_and_can_go_on(run: Run) -> None:
    async def check(client: TaskClient, engine: Engine) -> None:
        handle = await client.submit("checkout", namespace="shop")
        with pytest.raises(WaitTimeout, match=r"not accepted yet.*\n.*orchestrator"):
            await handle.result(0.2)
        ((_, request),) = await engine.requests()
        await engine.create(handle.task_id, request.request_id or b"")
        with pytest.raises(WaitTimeout, match="it is pending"):
            await handle.result(0.5)
        await engine.finish_step(handle.task_id, "ship", b"1")
        await engine.complete(handle.task_id)
        assert await handle.result(20) == {"ship": 1}

    run(check)


def test_a_record_of_a_newer_release_fails_who_waits(run: Run) -> None:
    async def check(client: TaskClient, engine: Engine) -> None:
        handle = await client.submit("checkout", namespace="shop")
        owner = engine.owners[partition_for(handle.task_id, PARTITIONS)]
        data = b"\xc3\x01" + b"newschem" + b"body"
        await engine.outbox.write(Write(engine.names.transitions, handle.task_id, data, for_owner(owner)))
        with pytest.raises(SchemaUnknown, match="does not know"):
            await handle.result(20)

    run(check)


def test_what_cannot_travel_is_refused_before_it_is_sent(run: Run) -> None:
    async def check(client: TaskClient, _engine: Engine) -> None:
        with pytest.raises(
            RequestRejected, match=r"no template shop/checkout 9\.9\.9.*\n.*1\.0\.0"
        ) as caught:
            await client.submit("checkout", namespace="shop", version="9.9.9")
        assert caught.value.code == "unknown_template"
        with pytest.raises(RequestRejected, match=r"no template shop/chekout is published"):
            await client.submit("chekout", namespace="shop")
        with pytest.raises(EncodeError, match="no JSON"):
            await client.submit("checkout", {"n": float("nan")}, namespace="shop")
        with pytest.raises(LimitExceeded):
            await client.submit("checkout", {"n": "x" * 300_000}, namespace="shop")

    run(check)


def test_a_template_published_later_is_found(run: Run) -> None:
    async def check(client: TaskClient, engine: Engine) -> None:
        later = msgspec.structs.replace(PLAN, name="later")
        await publish(engine.log, engine.names, [later])
        assert (await client.submit("later", namespace="shop")).task_id

    run(check)


# ---------------------------------------------------------------------------------------------- commands


async def answer_next(engine: Engine, code: str, message: str = "") -> OperatorCommand:
    (record,) = await engine.read(engine.names.commands, 1)
    command = decode(record.value, Command)
    body = command.body
    assert isinstance(body, OperatorCommand)
    assert record.key == command.task_id
    await engine.write(command.task_id, answer=Answer(body.command_id, code, message))
    return body


@pytest.mark.parametrize("code", ["accepted", "repeated", "already_cancelled"])
def test_a_command_is_answered(run: Run, code: str) -> None:
    async def check(client: TaskClient, engine: Engine) -> None:
        task_id = new_request_id()
        waiting = asyncio.create_task(
            client.cancel(task_id, actor="me", reason="wrong order", expected_seq=4)
        )
        body = await answer_next(engine, code)
        answer = await waiting
        assert answer is not None
        assert answer.code == code
        assert (body.action, body.actor, body.reason) == (OperatorAction.CANCEL_TASK, "me", "wrong order")
        assert (body.expected_seq, body.steps) == (4, ())

    run(check)


def test_a_refused_command_says_why(run: Run) -> None:
    async def check(client: TaskClient, engine: Engine) -> None:
        task_id = new_request_id()
        waiting = asyncio.create_task(client.retry(format_id(task_id), "pay"))
        body = await answer_next(engine, "unknown_task", "there is no such task")
        assert (body.action, body.steps) == (OperatorAction.RETRY_STEP, ("pay",))
        with pytest.raises(
            CommandRejected, match=r"retry_step of task .* was refused: there is no such task"
        ) as caught:
            await waiting
        assert caught.value.code == "unknown_task"

    run(check)


def test_a_command_refused_unread_is_known_by_its_place(run: Run) -> None:
    async def check(client: TaskClient, engine: Engine) -> None:
        waiting = asyncio.create_task(client.resolve(new_request_id()))
        (record,) = await engine.read(engine.names.commands, 1)
        await reject(engine, record, None, "misrouted")
        with pytest.raises(CommandRejected, match="cart") as caught:
            await waiting
        assert caught.value.code == "misrouted"

    run(check)


def test_a_result_by_hand_travels_by_reference(run: Run) -> None:
    async def check(client: TaskClient, engine: Engine) -> None:
        result = {"text": "y" * 500}
        waiting = asyncio.create_task(client.complete(new_request_id(), "pay", result))
        body = await answer_next(engine, "accepted")
        assert isinstance(body.result, PayloadRef)
        data = await Payloads(engine.log, engine.names).fetch(body.result)
        assert msgspec.json.decode(data) == result
        assert await waiting is not None

    run(check)


def test_a_null_result_by_hand_is_a_result(run: Run) -> None:
    async def check(client: TaskClient, engine: Engine) -> None:
        waiting = asyncio.create_task(client.complete(new_request_id(), "pay", None))
        assert (await answer_next(engine, "accepted")).result == b"null"
        assert await waiting is not None

    run(check)


def test_nobody_answers(run: Run) -> None:
    async def check(client: TaskClient, _engine: Engine) -> None:
        task_id = new_request_id()
        assert await client.set_reason(task_id, "because", wait=False) is None
        with pytest.raises(WaitTimeout, match=r"no answer about set_tags of task .*\n.*same command_id"):
            await client.set_tags(task_id, ["a"], timeout=0.2)

    run(check)


def test_a_client_that_is_not_started_says_so() -> None:
    client = TaskClient(cast("Log", MemoryLog()), TopicNames("x"))

    async def main() -> None:
        with pytest.raises(ConfigurationError, match="not started"):
            await client._write(Write("x", b"", b""))

    run_virtual(main())


def test_connecting_needs_an_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TASKER_BROKER", raising=False)
    with pytest.raises(ConfigurationError, match="TASKER_BROKER"):
        TaskClient.connect()
    monkeypatch.setenv("TASKER_BROKER", "127.0.0.1:1")
    monkeypatch.setenv("TASKER_PREFIX", "shop")
    assert TaskClient.connect()._names == TopicNames("shop")
