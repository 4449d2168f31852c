"""The good tasks' records without offsets and times: what two runs of the same seed must have in common."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from tasker_kafka.schemas.codec import codec
from tasker_kafka.schemas.records import Transitions
from tasker_kafka.topics.history import AcceptedHistory
from tests.support.lane_world import LaneWorld

__all__ = ["histories"]

DROPPED = frozenset({"life", "command_offset", "at", "ignored", "request"})
"""Places, times, and what other commands were ignored before."""


def histories(world: LaneWorld, tasks: Iterable[bytes]) -> dict[bytes, tuple[bytes, ...]]:
    """Task → its accepted records, each as JSON."""
    wanted = set(tasks)
    found: dict[bytes, list[bytes]] = {task_id: [] for task_id in wanted}
    for partition in range(world.partitions):
        history = AcceptedHistory()
        for record in world.records(world.names.transitions, partition):
            decoded = codec.decode_transition_record(record.value)
            if history.accept(record, decoded) and isinstance(decoded, Transitions) and record.key in wanted:
                found[record.key].append(msgspec.json.encode(_without_places(msgspec.to_builtins(decoded))))
    return {task_id: tuple(records) for task_id, records in found.items()}


def _without_places(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            name: _without_places(each)
            for name, each in value.items()
            if name not in DROPPED and not name.endswith("_at")
        }
    if isinstance(value, list | tuple):
        return [_without_places(each) for each in value]
    return value
