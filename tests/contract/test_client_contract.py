"""The client against both logs. The engine is played by the test, so that every answer can be arranged."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from tasker_kafka.schemas.errors import (
    EncodeError,
    NotFoundError,
    RequestRejected,
    SchemaUnknown,
    TaskFailed,
    WaitTimeout,
)
from tasker_kafka.schemas.identity import new_request_id
from tasker_kafka.schemas.limits import LimitExceeded
from tasker_kafka.schemas.records import (
    Answer,
    TaskClosed,
)
from tasker_kafka.schemas.words import (
    StepStatus,
    TaskStatus,
    TransitionEvent,
)
from tasker_kafka.topics.client import TaskClient
from tasker_kafka.topics.headers import for_owner
from tasker_kafka.topics.log import Write
from tasker_kafka.topics.partitioner import partition_for
from tasker_kafka.topics.payloads import Payloads
from tasker_kafka.topics.plans import publish
from tests.support.client_scene import (
    KEYED,
    MAPPED,
    PARTITIONS,
    PLAN,
    Engine,
    Run,
    kafka_run,
    memory_run,
    reject,
    step_edge,
    task_edge,
)
from tests.support.patience import PATIENCE_SECONDS


@pytest.fixture(params=["memory", pytest.param("kafka", marks=pytest.mark.kafka)])
def run(request: pytest.FixtureRequest, prefix: str) -> Run:
    """Runs a check on one of the two logs."""
    if request.param == "memory":
        return memory_run(prefix)
    return kafka_run(prefix, request.getfixturevalue("kafka").bootstrap_servers)


def test_the_output_of_a_task(run: Run) -> None:
    async def check(client: TaskClient, engine: Engine) -> None:
        running = asyncio.create_task(
            client.run("checkout", {"cart": [1]}, namespace="shop", timeout=PATIENCE_SECONDS)
        )
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
        assert (await handle.wait(PATIENCE_SECONDS)).state is TaskStatus.ERROR

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
