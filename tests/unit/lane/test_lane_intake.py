"""From a request to a StartTask or a rejection, once or twice, whatever is in the record."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from tasker_kafka.schemas.codec import codec, encode
from tasker_kafka.schemas.errors import PartitionLost, SchemaUnknown
from tasker_kafka.schemas.identity import new_request_id, request_id_for_place
from tasker_kafka.schemas.limits import CONTEXT_BYTES
from tasker_kafka.schemas.plan import Plan, PlanStep
from tasker_kafka.schemas.records import Command, PayloadRef, Rejection, StartTask, TaskRequest
from tasker_kafka.schemas.words import Identity, RejectionCode, TaskStatus
from tasker_kafka.streams.lane import CrashPoint
from tasker_kafka.topics.log import Batch, TopicPartition, Write
from tasker_kafka.topics.payloads import Payloads
from tasker_kafka.topics.plans import publish
from tests.support.crash_at import Crash, CrashAt
from tests.support.lane_checks import judge
from tests.support.lane_world import LaneWorld, Owner, plan_of, virtual

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"count": {"type": "integer"}, "mode": {"type": "string", "default": "fast"}},
    "required": ["count"],
}
PLAN = plan_of()
CHECKED = plan_of("checked", input_schema=SCHEMA)
KEYED = plan_of("keyed", identity=Identity.CALLER_PROVIDED)
HASHED = plan_of("hashed", identity=Identity.CONTEXT_HASH)


async def opened(**settings: Any) -> tuple[LaneWorld, Owner]:
    """A world with an owner."""
    world = await LaneWorld(PLAN, CHECKED, KEYED, HASHED).open()
    return world, await world.owner(**settings)


async def take_in(world: LaneWorld, owner: Owner, begin: int = 0) -> None:
    """Hand over every request from an offset on."""
    place = TopicPartition(world.names.task_requests, 0)
    reader = await owner.log.reader({place: begin})
    batch = (await reader.fetch(timeout=0)).get(place)
    await reader.close()
    if batch is not None:
        await owner.intake.process(batch)
        await owner.flush()


def started(world: LaneWorld) -> list[tuple[bytes, StartTask]]:
    """Every StartTask."""
    found = []
    for record in world.records(world.names.commands):
        command = codec.decode(record.value, Command)
        assert record.key == command.task_id
        if isinstance(command.body, StartTask):
            found.append((command.task_id, command.body))
    return found


def rejected(world: LaneWorld) -> list[Rejection]:
    """Every rejection."""
    return [codec.decode(each.value, Rejection) for each in world.records(world.names.rejections)]


@virtual
async def test_a_request_becomes_a_task() -> None:
    world, owner = await opened()
    request_id = new_request_id()
    await world.request(
        request_id=request_id, context=b'{"a": 1}', tags=("x",), reason="why", correlation_id="c"
    )
    await take_in(world, owner)
    [(task_id, start)] = started(world)
    assert task_id == start.request_id == request_id
    assert start.context == b'{"a": 1}'
    assert (start.tags, start.reason, start.correlation_id, start.plan_hash) == (
        ("x",),
        "why",
        "c",
        PLAN.hash,
    )
    assert (start.request.partition, start.request.offset) == (0, 0)
    await world.settle(owner)
    await world.quiet()
    assert judge(world).ended == {task_id: TaskStatus.COMPLETE}
    assert await owner.intake.checkpoint() == 1
    assert await owner.intake.checkpoint() is None
    await world.close()


@virtual
async def test_a_request_read_twice_is_the_same_bytes_and_one_task() -> None:
    world, owner = await opened()
    await world.request(context=b"{}")
    await world.request(name="keyed", idempotency_key="k")
    await take_in(world, owner)
    await owner.kill()
    again = await world.owner()
    await take_in(world, again)
    records = world.records(world.names.commands)
    assert len(records) == 4
    assert {each.value for each in records[:2]} == {each.value for each in records[2:]}
    assert started(world)[0][0] == request_id_for_place(world.names.task_requests, 0, 0)
    await world.settle(again)
    assert again.lane.metrics.ignored == {"redelivered": 2}
    assert again.lane.table.stub_count == 2
    await world.close()


@virtual
async def test_what_a_lane_has_answered_it_does_not_answer_again() -> None:
    world, owner = await opened()
    await world.request()
    await take_in(world, owner)
    await world.request()
    await take_in(world, owner)
    assert owner.intake.metrics.skipped == 1
    assert len(started(world)) == 2
    with pytest.raises(PartitionLost, match="requests 2 to 8"):
        await owner.intake.process(Batch(9, 10, ()))
    await world.close()


@virtual
async def test_the_same_idempotency_key_is_one_task_and_a_rejection() -> None:
    world, owner = await opened()
    await world.request(name="keyed", idempotency_key="order-1")
    await world.request(name="keyed", idempotency_key="order-1")
    await world.request(name="hashed", context=b'{"a": 1, "b": 2}')
    await world.request(name="hashed", context=b'{"b": 2, "a": 1}')
    await take_in(world, owner)
    await world.settle(owner)
    assert [each.code for each in rejected(world)] == [RejectionCode.DUPLICATE] * 2
    assert owner.lane.table.stub_count == 2
    await world.quiet()
    judge(world)
    await world.close()


# ----------------------------------------------------------------------------------------- rejections

WRONG = {"name": "checked", "context": b'{"count": "x"}'}
TRUNCATED = encode(TaskRequest(name="a", context=b"{}"))[:-2]
BAD: list[tuple[str, dict[str, Any], RejectionCode, str | None, str]] = [
    ("unknown template", {"name": "dmo"}, RejectionCode.UNKNOWN_TEMPLATE, None, "default/demo"),
    ("unknown namespace", {"namespace": "x" * 500}, RejectionCode.UNKNOWN_TEMPLATE, None, "no template"),
    ("unknown version", {"version": "9.9.9"}, RejectionCode.UNKNOWN_TEMPLATE, None, "published: 1.0.0"),
    ("no json", {"context": b"{"}, RejectionCode.INVALID_CONTEXT, "context", "not JSON"),
    ("no object", {"context": b"[1]"}, RejectionCode.INVALID_CONTEXT, "context", "object"),
    ("NaN", {"context": b'{"a": [1, NaN]}'}, RejectionCode.INVALID_CONTEXT, "context.a[1]", "NaN"),
    (
        "deep",
        {"context": b'{"a":' * 70 + b"1" + b"}" * 70},
        RejectionCode.INVALID_CONTEXT,
        "context",
        "levels",
    ),
    ("not UTF-8", {"context": b'{"a": "\xff"}'}, RejectionCode.INVALID_CONTEXT, "context", "UTF-8"),
    (
        "schema",
        {"name": "checked", "context": b'{"count": "x"}'},
        RejectionCode.INVALID_CONTEXT,
        "context.count",
        "integer",
    ),
    (
        "too large",
        {"context": b'{"a": "' + b"x" * (256 * 1024) + b'"}'},
        RejectionCode.OVER_LIMIT,
        "context",
        "bytes",
    ),
    ("long texts", {"reason": "x" * 70_000}, RejectionCode.OVER_LIMIT, None, "65,536"),
    (
        "no key",
        {"name": "keyed"},
        RejectionCode.MISSING_IDEMPOTENCY_KEY,
        "idempotency_key",
        "idempotency_key",
    ),
    ("bypass", {"bypass_steps": ("one", "tow")}, RejectionCode.UNKNOWN_BYPASS_STEP, "bypass_steps[1]", "two"),
    ("zero id", {"request_id": bytes(16)}, RejectionCode.INVALID_REQUEST, "request_id", "zero bytes"),
    ("time", {"not_before": -5}, RejectionCode.INVALID_REQUEST, "not_before", "milliseconds"),
]


@pytest.mark.parametrize("case", BAD, ids=[each[0] for each in BAD])
@virtual
async def test_a_bad_request_is_rejected_with_the_place(
    case: tuple[str, dict[str, Any], RejectionCode, str | None, str],
) -> None:
    _, fields, code, path, text = case
    world, owner = await opened()
    everything: dict[str, Any] = {"name": "demo", "context": b"{}", **fields}
    value = encode(TaskRequest(**everything))
    await world.raw(world.names.task_requests, b"key", value, partition=0, headers=(("h", b"v"),))
    await world.request()
    await take_in(world, owner)
    [rejection] = rejected(world)
    assert (rejection.code, rejection.path) == (code, path)
    assert text in rejection.message
    assert len(rejection.message) < 1000
    assert (rejection.key, rejection.value, rejection.headers) == (b"key", value, (("h", b"v"),))
    assert (rejection.topic, rejection.offset) == (world.names.task_requests, 0)
    assert len(started(world)) == 1
    assert await owner.intake.checkpoint() == 2
    await world.close()


@pytest.mark.parametrize(
    "value",
    [None, b"", b"\x00\xff", b"\xc3\x01" + bytes(30), encode(TaskRequest(name="a", context=b"{}"))[:-2]],
)
@virtual
async def test_a_poison_request_is_rejected(value: bytes | None) -> None:
    world, owner = await opened()
    await world.raw(world.names.task_requests, b"k" * 2000, value, partition=0)
    await take_in(world, owner)
    [rejection] = rejected(world)
    assert rejection.code == RejectionCode.UNDECODABLE
    assert (rejection.key, rejection.value) == (b"k" * 2000, value)
    await world.close()


@pytest.mark.parametrize(
    "large", [{"value": bytes(3_000_000)}, {"headers": (("h", bytes(3_000_000)),)}, {"key": bytes(3_000_000)}]
)
@virtual
async def test_a_request_that_was_compressed_to_its_limit_is_rejected_without_its_bytes(
    large: dict[str, Any],
) -> None:
    """The broker's limit is of the compressed batch; the rejection is not compressed with it."""
    world, owner = await opened()
    store = world.cluster.store(TopicPartition(world.names.task_requests, 0))
    fields: dict[str, Any] = {"key": None, "value": b"{", **large}
    store.append([Write(store.topic, **fields)], now_ms=1, append_time=True)
    request_id = new_request_id()
    await world.request(request_id=request_id)
    await take_in(world, owner)
    assert not owner.failures
    [rejection] = rejected(world)
    assert (rejection.offset, rejection.value, rejection.headers) == (0, None, ())
    assert "3,000,00" in rejection.message
    assert [task_id for task_id, _ in started(world)] == [request_id]
    await world.close()


@virtual
async def test_a_long_trace_header_is_not_handed_on() -> None:
    world, owner = await opened()
    value = encode(TaskRequest(name="demo", context=b"{}"))
    for length in (256, 257, 600_000):
        header = (("traceparent", b"0" * length),)
        await world.raw(world.names.task_requests, None, value, partition=0, headers=header)
    await take_in(world, owner)
    assert [start.traceparent for _, start in started(world)] == ["0" * 256, None, None]
    await world.settle(owner)
    assert not owner.failures
    await world.close()


@virtual
async def test_a_request_of_a_newer_release_ends_the_process() -> None:
    world, owner = await opened()
    await world.raw(world.names.schemas, b"\7" * 8, b"{}")
    await world.raw(world.names.task_requests, None, b"\xc3\x01" + b"\7" * 8 + b"rest", partition=0)
    with pytest.raises(SchemaUnknown, match="newer release"):
        await take_in(world, owner)
    assert await owner.intake.checkpoint() is None
    await world.close()


@virtual
async def test_a_template_without_its_topics_gets_no_tasks() -> None:
    world, owner = await opened()
    step = PlanStep(name="a", handler="strange.a", queue="nowhere")
    strange = Plan(namespace="default", name="strange", version="1.0.0", steps=(step,))
    await publish(world.log, world.names, [strange])
    await world.request(name="strange")
    await take_in(world, owner)
    [rejection] = rejected(world)
    assert rejection.code == RejectionCode.UNKNOWN_QUEUE
    assert "nowhere" in rejection.message
    await world.close()


@virtual
async def test_a_template_published_just_before_the_request_is_known() -> None:
    world, owner = await opened()
    await take_in(world, owner)
    later = plan_of("later")
    await publish(world.log, world.names, [later])
    await world.request(name="later")
    await take_in(world, owner)
    assert [each.plan_hash for _, each in started(world)] == [later.hash]
    await world.close()


# ------------------------------------------------------------------------------------------- contexts


@virtual
async def test_defaults_of_the_schema_are_filled_in() -> None:
    world, owner = await opened()
    await world.request(name="checked", context=b'{"count": 2}')
    await world.request(name="checked", context=b'{ "count": 2, "mode": "slow" }')
    await take_in(world, owner)
    first, second = (each.context for _, each in started(world))
    assert isinstance(first, bytes)
    assert json.loads(first) == {"count": 2, "mode": "fast"}
    assert second == b'{ "count": 2, "mode": "slow" }'
    await world.close()


@virtual
async def test_a_large_context_is_stored_before_it_is_referred_to() -> None:
    world, owner = await opened()
    context = json.dumps({"a": "x" * (CONTEXT_BYTES.maximum - 10)}).encode()
    assert len(context) <= CONTEXT_BYTES.maximum
    for _ in range(40):
        await world.request(context=context)
    await take_in(world, owner)
    found = started(world)
    assert len(found) == 40
    for _, start in found:
        assert isinstance(start.context, PayloadRef)
        assert await Payloads(world.log, world.names).resolve(start.context) == context
    assert owner.intake.metrics.payloads == 40
    await world.close()


# --------------------------------------------------------------------------------------------- crashes


@pytest.mark.parametrize("nth", [1, 3])
@pytest.mark.parametrize("point", [each for each in CrashPoint if each.startswith("intake.")])
@virtual
async def test_no_request_is_lost_by_a_crash(point: CrashPoint, nth: int) -> None:
    world = await LaneWorld(PLAN, latency=0.005).open()
    crash = CrashAt(point, nth)
    requests = [new_request_id() for _ in range(9)]
    committed = 0
    owner = await world.owner(crash=crash)
    for number, request_id in enumerate(requests):
        name = "nothing" if number % 3 == 1 else "demo"
        context = json.dumps({"a": "x" * (5000 if number % 3 == 2 else 1)}).encode()
        await world.request(request_id=request_id, name=name, context=context)
        try:
            await take_in(world, owner, owner.intake.next_request or committed)
            committed = await owner.intake.checkpoint() or committed
        except Crash:
            await owner.kill()
            owner = await world.owner(crash=crash)
            await take_in(world, owner, committed)
    await world.settle(owner)
    await world.quiet()
    judged = judge(world)
    refused = {each.request_id for each in rejected(world)}
    assert set(judged.ended) | refused == set(requests)
    assert set(judged.ended).isdisjoint(refused)
    assert crash.passed[point] >= nth
    await world.close()


@virtual
async def test_nothing_is_committed_before_it_is_acknowledged() -> None:
    world, owner = await opened(checkpoint_timeout_ms=1000)
    await world.request()
    place = TopicPartition(world.names.task_requests, 0)
    reader = await owner.log.reader({place: 0})
    world.cluster.faults.lose_acknowledgements(world.names.commands)
    await owner.intake.process((await reader.fetch(timeout=0))[place])
    with pytest.raises(PartitionLost, match="not written"):
        await asyncio.create_task(owner.intake.checkpoint())
    await world.close()
