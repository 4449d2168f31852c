"""The commands of one partition, decoded when they are needed, and which of them a decider may ignore."""

from __future__ import annotations

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
        self._by_offset = {each.offset: each for each in self.records}

    def at(self, offset: int) -> Command | None:
        """The command at an offset; None when retention has taken it, or there is none."""
        record = self._by_offset.get(offset)
        return None if record is None else self._decoded(record)

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
            # A start that is known cannot be returned: it was another delivery that ran.
            only_before = command.kind == "StepStarted" or body["outcome"] == "returned"
            return step["state"] not in ({"enqueued"} if only_before else {"enqueued", "in_progress"})
        case _:
            return True
