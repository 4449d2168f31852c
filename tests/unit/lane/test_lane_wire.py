"""Records that no rule may judge: poison of every class, strays, and what a newer release wrote."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from tasker_kafka.schemas.codec import codec, encode
from tasker_kafka.schemas.errors import SchemaUnknown
from tasker_kafka.schemas.identity import new_request_id
from tasker_kafka.schemas.limits import RECORD_BYTES
from tasker_kafka.schemas.records import Command, Forget, Heartbeat, Rejection, TaskRequest, Transitions
from tasker_kafka.schemas.words import RejectionCode, TaskStatus
from tests.support.lane_checks import judge, same_states
from tests.support.lane_world import LaneWorld, plan_of, virtual

PLAN = plan_of(steps={"a": ()})
WHOLE = encode(Command(bytes(16), Heartbeat(life=0, step="a", attempt=1)))
NEWER = b"\xc3\x01" + bytes(range(8)) + b"whatever follows"

POISON: dict[str, bytes | None] = {
    "null": None,
    "empty": b"",
    "random": bytes(range(200, 250)),
    "truncated": WHOLE[:-3],
    "bit flip in the body": WHOLE[:26] + bytes([WHOLE[26] ^ 0xFF]) + WHOLE[27:],
    "bytes left over": WHOLE + b"\0",
    "another type": encode(TaskRequest(name="demo", context=b"{}")),
    "a schema nobody knows": NEWER,
    "a confluent frame without a registry": b"\0\0\0\0\1" + WHOLE[10:],
    "json": b'{"task_id": 1}',
    "deep json": b"[" * 10_000,
    "NaN": b"NaN",
    "a compressed bomb": b"\x1f\x8b" + bytes(10_000),
    "huge": b"\xc3\x01" + bytes(900_000),
}


@pytest.mark.parametrize("name", POISON)
@virtual
async def test_poison_is_rejected_and_the_partition_goes_on(name: str) -> None:
    world = await LaneWorld(PLAN).open()
    owner = await world.owner()
    offset = await world.raw(world.names.commands, b"some key", POISON[name], partition=0)
    task_id = await world.start(PLAN)
    await world.settle(owner)
    [raw] = world.records(world.names.rejections)
    rejection = codec.decode(raw.value, Rejection)
    assert raw.key == b"some key"
    assert (rejection.code, rejection.offset) == (RejectionCode.UNDECODABLE, offset)
    assert owner.lane.metrics.refused == {"undecodable": 1}
    await world.quiet()
    judged = judge(world)
    assert judged.ended == {task_id: TaskStatus.COMPLETE}
    same_states(world, judged)
    await world.close()


@virtual
async def test_a_schema_that_a_newer_release_published_ends_the_process() -> None:
    world = await LaneWorld(PLAN).open()
    owner = await world.owner()
    await world.raw(world.names.schemas, NEWER[2:10], b'{"type": "record"}')
    first = await world.start(PLAN)
    offset = await world.raw(world.names.commands, first, NEWER)
    with pytest.raises(SchemaUnknown, match="newer release") as caught:
        await owner.pump()
    assert caught.value.next_step is not None
    assert "upgrade" in caught.value.next_step
    assert not owner.lane.is_live
    await owner.flush()
    await owner.kill()
    following = await world.owner()
    assert following.lane.next_command == offset  # what came before it is done, the newer record still waits
    await world.close()


@virtual
async def test_a_fingerprint_is_asked_for_once_per_batch() -> None:
    world = await LaneWorld(PLAN).open()
    owner = await world.owner()
    for _ in range(30):
        await world.raw(world.names.commands, None, NEWER, partition=0)
    await owner.pump()
    assert owner.lane.metrics.refused == {"undecodable": 30}
    await world.close()


@virtual
async def test_a_record_in_the_wrong_partition_is_misrouted() -> None:
    world = await LaneWorld(PLAN, partitions=4).open()
    owners = [await world.owner(number) for number in range(4)]
    task_id = new_request_id()
    wrong = (world.partition_of(task_id) + 1) % 4
    value = encode(Command(task_id, Heartbeat(life=0, step="a", attempt=1)))
    await world.raw(world.names.commands, task_id, value, partition=wrong)
    await owners[wrong].pump()
    await owners[wrong].flush()
    [raw] = world.records(world.names.rejections)
    rejection = codec.decode(raw.value, Rejection)
    assert rejection.code == RejectionCode.MISROUTED
    assert "murmur2" in rejection.message
    assert rejection.partition == wrong
    await world.quiet()
    judge(world)
    await world.close()


@pytest.mark.parametrize("key", [None, b"", b"x", bytes(16), b"k" * 5000, b"tasker:forget"])
@virtual
async def test_a_key_that_is_not_the_tasks_is_misrouted(key: bytes | None) -> None:
    world = await LaneWorld(PLAN).open()
    owner = await world.owner()
    value = encode(Command(bytes([7]) * 16, Heartbeat(life=0, step="a", attempt=1)))
    await world.raw(world.names.commands, key, value, partition=0)
    await owner.pump()
    await owner.flush()
    [raw] = world.records(world.names.rejections)
    assert codec.decode(raw.value, Rejection).code == RejectionCode.MISROUTED
    assert raw.key == (None if key == b"k" * 5000 else key)
    await world.close()


@virtual
async def test_the_id_of_no_task_gets_no_task() -> None:
    """Its transitions would have the key of refusals, and the next owner would not fold them."""
    world = await LaneWorld(PLAN).open()
    owner = await world.owner()
    await world.start(PLAN, task_id=bytes(16))
    await owner.pump()
    assert owner.lane.metrics.refused == {"misrouted": 1}
    assert owner.lane.table.get(bytes(16)) is None
    await owner.flush()
    following = await world.owner()
    assert following.lane.table.get(bytes(16)) is None
    await world.quiet()
    judge(world)
    await world.close()


@pytest.mark.parametrize(("extra", "is_refused"), [(-1, False), (0, False), (1, True)])
@virtual
async def test_a_command_has_at_most_900_kib(extra: int, is_refused: bool) -> None:
    """Its transitions, and what they make of the task's state, are larger and must be writable, too."""
    world = await LaneWorld(PLAN).open()
    owner = await world.owner()
    task_id = await world.start(PLAN)
    await owner.pump()
    body = Heartbeat(life=0, step="a", attempt=1, progress=b"")
    size = RECORD_BYTES.maximum + extra - len(encode(Command(task_id, body))) - 2
    value = encode(Command(task_id, replace(body, progress=bytes(size))))
    assert len(value) == RECORD_BYTES.maximum + extra
    await world.raw(world.names.commands, task_id, value)
    await owner.pump()
    assert owner.lane.metrics.refused == ({"over_limit": 1} if is_refused else {})
    await world.close()


@virtual
async def test_a_forget_under_a_tasks_key_is_misrouted() -> None:
    world = await LaneWorld(PLAN).open()
    owner = await world.owner()
    await world.raw(world.names.commands, bytes(16), encode(Command(bytes(16), Forget(1))), partition=0)
    await owner.pump()
    assert owner.lane.metrics.refused == {"misrouted": 1}
    await world.close()


@virtual
async def test_a_refusal_is_a_record_without_a_task() -> None:
    world = await LaneWorld(PLAN).open()
    owner = await world.owner()
    await world.raw(world.names.commands, None, b"x", partition=0)
    await owner.pump()
    await owner.flush()
    record = world.records(world.names.transitions)[-1]
    assert record.key == bytes(16)
    decoded = codec.decode(record.value, Transitions)
    assert (decoded.life, decoded.seq, decoded.transitions) == (-1, 0, ())
    await world.close()
