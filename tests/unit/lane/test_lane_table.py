"""What a partition holds in memory."""

from __future__ import annotations

from tasker_kafka.schemas.codec import codec
from tasker_kafka.schemas.identity import new_request_id
from tasker_kafka.schemas.state import Stub
from tasker_kafka.schemas.words import TaskStatus
from tasker_kafka.streams.lane.table import PartitionTable


def stub(task_id: bytes) -> bytes:
    """An encoded stub."""
    return codec.encode(
        Stub(
            task_id=task_id,
            request_id=task_id,
            life=1,
            outcome=TaskStatus.COMPLETE,
            created_at=1,
            closed_at=2,
            forget_at=3,
            plan_hash=bytes(32),
        )
    )


def test_what_was_loaded_is_taken_apart_and_its_keys_are_used_again() -> None:
    task_ids = [new_request_id() for _ in range(3)]
    values = {task_id: stub(task_id) for task_id in task_ids}
    table = PartitionTable(codec, decoded_limit=10)
    table.load(values)
    left: list[int] = []
    for known, (task_id, found) in zip(task_ids, table.survey(), strict=True):
        assert task_id is known
        assert isinstance(found, Stub)
        assert found.task_id == known
        left.append(len(values))
    assert left == [2, 1, 0], "a million of them must not be in memory twice"
    assert table.stub_count == 3
