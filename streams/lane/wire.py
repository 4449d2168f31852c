"""Reads a record of the commands topic and says whether it may be decided at all.

Three kinds of record may not: poison (cannot be decoded), strays (in the wrong partition, or under another key
than their task's; clients whose default partitioner differs) and records of a newer release. The first two are
refused and the partition goes on; the third ends the process, because an older release must not judge it.
"""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass

from tasker_kafka.schemas.codec import Codec
from tasker_kafka.schemas.errors import DecodeError, SchemaUnknown
from tasker_kafka.schemas.identity import format_id
from tasker_kafka.schemas.limits import RECORD_BYTES
from tasker_kafka.schemas.records import FORGOTTEN_KEY, Command, Forget
from tasker_kafka.schemas.words import RejectionCode
from tasker_kafka.topics.log import Record
from tasker_kafka.topics.partitioner import partition_for

__all__ = ["NO_TASK", "CommandWire", "Refusal"]

NO_TASK = bytes(16)
"""Key of transitions records that answer a command without a task of its own (poison, strays): no task's id."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a command record is rejected without being decided."""

    code: RejectionCode
    message: str


class CommandWire:
    """Decodes the commands of one partition."""

    def __init__(self, codec: Codec, *, partition: int, partition_count: int) -> None:
        self._codec = codec
        self._partition = partition
        self._partition_count = partition_count

    def read(self, record: Record, unpublished: Container[bytes] = ()) -> Command | Refusal:
        """The command, or why it is refused.

        Raises SchemaUnknown for a fingerprint that is not known here, unless it is among the `unpublished`, which
        nobody knows.
        """
        if record.value is None:
            return Refusal(RejectionCode.UNDECODABLE, "the record has no value")
        if RECORD_BYTES.is_exceeded(len(record.value)):
            # What is made of it (transitions, states, dispatches) is larger than the command itself.
            text = RECORD_BYTES.message(len(record.value), "the command")
            return Refusal(RejectionCode.OVER_LIMIT, text)
        try:
            command = self._codec.decode(record.value, Command)
        except SchemaUnknown as error:
            if error.fingerprint not in unpublished:
                raise
            return Refusal(RejectionCode.UNDECODABLE, error.message)
        except DecodeError as error:
            return Refusal(RejectionCode.UNDECODABLE, error.message)
        return self._stray(record, command) or command

    def _stray(self, record: Record, command: Command) -> Refusal | None:
        key = record.key
        if isinstance(command.body, Forget):
            # The owner writes it to its own partition explicitly, so its key proves nothing about the place.
            return (
                None
                if key == FORGOTTEN_KEY
                else Refusal(RejectionCode.MISROUTED, "a Forget under a task's key")
            )
        if command.task_id == NO_TASK:
            return Refusal(
                RejectionCode.MISROUTED,
                "16 zero bytes are the id of no task; set the task id, a UUID, and the key",
            )
        if key is None or key != command.task_id:
            shown = "none" if key is None else key[:32].hex()
            return Refusal(
                RejectionCode.MISROUTED,
                f"the record's key ({shown}) is not the id of its task ({format_id(command.task_id)}); "
                "set the key to the 16 bytes of the task id",
            )
        expected = partition_for(key, self._partition_count)
        if expected != self._partition:
            return Refusal(
                RejectionCode.MISROUTED,
                f"task {format_id(key)} belongs to partition {expected}, the record is in {self._partition}; "
                "use the murmur2 partitioner (Java's default; librdkafka: partitioner=murmur2_random)",
            )
        return None
