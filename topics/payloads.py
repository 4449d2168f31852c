"""Large values in the payloads topic (claim check): written and acknowledged before a record refers to them.

A reference names partition, offset and hash, so a reader fetches one record by its place and knows that it has
what was meant.
"""

from __future__ import annotations

import hashlib

from tasker_kafka.schemas.errors import DecodeError, NotFoundError
from tasker_kafka.schemas.identity import format_id
from tasker_kafka.schemas.records import PayloadRef, Value

from .log import Log, Outbox, TopicPartitionOffset, Write
from .names import TopicNames

__all__ = ["Payloads"]


class Payloads:
    """Stores and fetches large values. Reading needs no outbox; storing needs one in which the topic is known."""

    def __init__(self, log: Log, names: TopicNames, outbox: Outbox | None = None) -> None:
        self._log = log
        self._topic = names.payloads
        self._outbox = outbox

    async def store(self, task_id: bytes, data: bytes) -> PayloadRef:
        """Write a value and wait until it is acknowledged. LogError or RecordTooLarge when it cannot be."""
        if self._outbox is None:
            raise TypeError("this Payloads was made for reading: give it an outbox")
        place = await self._outbox.write(Write(self._topic, task_id, data))
        return PayloadRef(place.partition, place.offset, len(data), hashlib.sha256(data).digest())

    async def value_for(self, task_id: bytes, data: bytes | None, inline_limit: int) -> Value:
        """The value to put into a record: the bytes themselves up to `inline_limit`, else a reference to them."""
        if data is None or len(data) <= inline_limit:
            return data
        return await self.store(task_id, data)

    async def fetch(self, ref: PayloadRef) -> bytes:
        """The bytes that a reference stands for.

        NotFoundError when retention has removed them, DecodeError when something else lies there, or cannot.
        """
        count = await self._log.partition_count(self._topic)
        if not 0 <= ref.partition < count or ref.offset < 0:
            raise DecodeError(
                f"no payload can lie at {self._topic}-{ref.partition}@{ref.offset}",
                next_step="who wrote the reference is no client and no worker of Tasker; what it stands for is lost",
            )
        place = TopicPartitionOffset(self._topic, ref.partition, ref.offset)
        try:
            record = await self._log.fetch_at(place)
        except NotFoundError as error:
            raise NotFoundError(
                f"the payload at {self._topic}-{ref.partition}@{ref.offset} is gone",
                next_step="the retention of the payloads topic is shorter than the task lasted: raise it",
            ) from error
        if record.value is None or hashlib.sha256(record.value).digest() != ref.sha256:
            whose = "nobody" if record.key is None or len(record.key) != 16 else format_id(record.key)
            raise DecodeError(
                f"another payload lies at {self._topic}-{ref.partition}@{ref.offset} (of task {whose})",
                next_step="the topic was recreated or restored from elsewhere; what the task needs is lost",
            )
        return record.value

    async def resolve(self, value: Value) -> bytes | None:
        """The JSON of a value, wherever it lies; None for an absent one."""
        return await self.fetch(value) if isinstance(value, PayloadRef) else value
