"""The commands of one partition, decoded, and which of them a decider may ignore."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from .fold import Life
from .raw import RawPartition, RawRecord
from .wire import FORGET_KEY, Datum, Wire, WireError, partition_of

__all__ = ["Command", "Commands", "may_be_ignored"]

_SYMBOLS: Final = ("outcome", "identity", "kind", "action")
"""Fields that are enums; `UNKNOWN` in one is a symbol nobody writes."""


class Command(NamedTuple):
    """A record of the commands topic."""

    record: RawRecord
    task_id: bytes
    kind: str
    """Name of the body; empty for what must be refused: undecodable, or in the wrong place."""
    body: Datum

    @property
    def is_refused(self) -> bool:
        """It cannot be decided, whatever the task's state."""
        return not self.kind


class Commands:
    """One partition of commands by offset. `partitions`: how many the topic has."""

    def __init__(self, partition: RawPartition, partitions: int, wire: Wire) -> None:
        self.records = [each for each in partition.records if each.committed]
        self.topic, self.number, self.start = partition.topic, partition.partition, partition.start
        self._partitions = partitions
        self._wire = wire
        self._by_offset = {each.offset: self._decoded(each) for each in self.records}

    def __iter__(self) -> Iterator[Command]:
        return iter(self._by_offset.values())

    def at(self, offset: int) -> Command | None:
        """The command at an offset; None when retention has taken it, or there is none."""
        return self._by_offset.get(offset)

    def _decoded(self, record: RawRecord) -> Command:
        key = record.key or b""
        try:
            datum = self._wire.decode_as(record.value, "Command")
        except WireError:
            return Command(record, key, "", {})
        name, body = datum["body"]
        kind = name.rpartition(".")[2]
        owner = key if kind == "Forget" else datum["task_id"]
        if kind == "Forget":
            in_place = key == FORGET_KEY
        else:
            in_place = key == owner and partition_of(key, self._partitions) == self.number
        is_newer = any(body.get(field) == "UNKNOWN" for field in _SYMBOLS)
        return Command(record, owner, kind if in_place and not is_newer else "", body)


def may_be_ignored(command: Command, life: Life | None) -> bool:
    """Whether a command may change nothing for this task: what had to have an effect was lost otherwise."""
    body = command.body
    match command.kind:
        case "" | "OperatorCommand":
            return False
        case "StartTask":
            if life is None:
                return False
            return bool(life.value["request_id"] == body["request_id"])
        case "StepResult" | "StepStarted":
            if life is None or life.is_stub or life.value["life"] != body["life"] or life.state == "error":
                return True
            step = life.step(body["step"])
            if step is None or step["attempt"] != body["attempt"]:
                return True
            return step["state"] not in _takes(command, step)
        case _:
            return True


def _takes(command: Command, step: Datum) -> set[str]:
    """The states of a step in which this start or result of its last attempt counts."""
    outcome = command.body.get("outcome")
    if outcome is None or outcome == "returned":
        return {"enqueued"}  # a start that is known cannot be returned: it was another delivery that ran
    if outcome == "success" and not step["answered"]:
        return {"enqueued", "in_progress", "waiting_for_retry", "pending"}  # late, but nothing came between
    return {"enqueued", "in_progress"}
