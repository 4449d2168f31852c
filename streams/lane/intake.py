"""Turns task requests into StartTask commands or rejections: a lane without state.

It never blocks on a bad request and never loses one: every record that was read has its command or its rejection
acknowledged before its offset is committed. Read twice, a request gives the same StartTask again, which the engine
recognises; so nothing here needs a transaction.

Order of a commit: (0) note the position; (1) await the acknowledgement of everything sent before; (2) the caller
commits the position, checked. A crash before (2) reads the requests again.
"""

from __future__ import annotations

import asyncio

from msgspec.structs import replace

from tasker_kafka.schemas.errors import PartitionLost, SchemaUnknown, TaskerError
from tasker_kafka.schemas.limits import KIB, is_inline
from tasker_kafka.schemas.records import Command, Rejection, TaskRequest, Value
from tasker_kafka.topics import headers
from tasker_kafka.topics.log import Batch, Record, Write
from tasker_kafka.topics.payloads import Payloads
from tasker_kafka.topics.releases import is_published

from .crash_points import CrashPoint
from .emit import LONGEST_KEY
from .equipment import LaneEquipment
from .loss import newer_release, partition_lost
from .metrics import IntakeMetrics
from .plan_search import PlanSearch
from .requests import Accepted, Refused, accept, read_request

__all__ = ["IntakeLane"]

LARGEST_REQUEST = 1024 * KIB
"""Bytes that the requests topic takes, uncompressed."""
_SLICE = 32
"""Requests judged, and large contexts under way, before the loop gets its turn."""


class IntakeLane:
    """One partition of `task-requests`. `partition` is its number; `metrics` are its counters."""

    def __init__(self, partition: int, equipment: LaneEquipment) -> None:
        log, names, outbox = equipment.log, equipment.names, equipment.outbox
        self.partition = partition
        self.metrics = IntakeMetrics()
        self._log = log
        self._names = names
        self._search = PlanSearch(log=log, names=names, plans=equipment.plans)
        self._outbox = outbox
        self._settings = equipment.settings
        self._codec = equipment.codec
        self._track = outbox.track()
        self._payloads = Payloads(log, names, outbox)
        self._reached = equipment.settings.crash_points.reached
        self._is_warm = False
        self._next: int | None = None
        self._committed: int | None = None
        self._committing = asyncio.Lock()

    @property
    def next_request(self) -> int | None:
        """Offset of the first request not yet answered; None before the first batch."""
        return self._next

    @property
    def in_flight(self) -> int:
        """Commands and rejections not yet acknowledged."""
        return self._track.in_flight

    def begin_at(self, offset: int) -> None:
        """The first batch will begin here; without this call, wherever it begins. A later one leaves a gap."""
        self._next = self._committed = offset

    async def process(self, batch: Batch) -> None:
        """Answer every request of a batch. Batches must leave no gap; they may overlap.

        PartitionLost for a gap, SchemaUnknown for a request of a newer release; LogError when a large context
        cannot be stored.
        """
        if not self._is_warm:
            await self._outbox.warm((self._names.commands, self._names.rejections, self._names.payloads))
            self._is_warm = True
        if self._next is None:
            self._next = self._committed = batch.first_position
        if batch.first_position > self._next:
            raise PartitionLost(
                f"{self._names.task_requests} [{self.partition}]: requests {self._next} to "
                f"{batch.first_position - 1} were not handed to intake",
                next_step="this is a defect of the consumer; a restart reads from the committed offset",
            )
        self._search.begin_batch()
        large: list[Accepted] = []
        for count, record in enumerate(batch.records, start=1):
            self.metrics.read += 1
            if record.offset < self._next:
                self.metrics.skipped += 1
                continue
            judged = await self._judge(record)
            if isinstance(judged, Refused):
                self._reject(record, judged)
            elif is_inline(judged.context, judged.plan.inline_limit):
                self._start(judged, judged.context)
            else:
                large.append(judged)
            if count % _SLICE == 0:
                await asyncio.sleep(0)
        for begin in range(0, len(large), _SLICE):
            await asyncio.gather(*(self._start_large(each) for each in large[begin : begin + _SLICE]))
        self._next = max(self._next, batch.next_position)

    async def checkpoint(self) -> int | None:
        """The offset to commit once everything below it is answered and acknowledged; None: nothing has moved."""
        async with self._committing:
            position = self._next
            if position is None or position == self._committed:
                return None
            try:
                async with asyncio.timeout(self._settings.checkpoint_timeout_ms / 1000):
                    await self._track.barrier()
            except (TaskerError, TimeoutError) as error:
                raise partition_lost(self.partition, "intake's answers were not written", error) from error
            self._reached(CrashPoint.INTAKE_BARRIER)
            self._committed = position
            return position

    # -------------------------------------------------------------------------------------- one request

    async def _judge(self, record: Record) -> Accepted | Refused:
        request = await self._read(record)
        if isinstance(request, Refused):
            return request
        plan = await self._search.find(request)
        return plan if isinstance(plan, Refused) else accept(request, record, plan)

    async def _read(self, record: Record) -> TaskRequest | Refused:
        try:
            return read_request(record, self._codec)
        except SchemaUnknown as error:
            if error.fingerprint not in self._search.unpublished:
                timeout_ms = self._settings.acquire_timeout_ms
                if await is_published(self._log, self._names, error.fingerprint, timeout_ms=timeout_ms):
                    raise newer_release(record.topic, record.partition, record.offset, error) from error
                self._search.unpublished.add(error.fingerprint)
            return read_request(record, self._codec, is_poison=True)

    async def _start_large(self, accepted: Accepted) -> None:
        """The context is acknowledged in `payloads` before the command that refers to it is written."""
        context = await self._payloads.store(accepted.task_id, accepted.context)
        self._reached(CrashPoint.INTAKE_PAYLOAD_STORED)
        self.metrics.payloads += 1
        self._start(accepted, context)

    def _start(self, accepted: Accepted, context: Value) -> None:
        start = replace(accepted.start, context=context)
        value = self._codec.encode(Command(accepted.task_id, start))
        trace = headers.for_trace(start.traceparent)
        self._outbox.send(Write(self._names.commands, accepted.task_id, value, trace), self._track)
        self._reached(CrashPoint.INTAKE_STARTED)
        self.metrics.started[accepted.plan.namespace] += 1

    def _reject(self, record: Record, refused: Refused) -> None:
        """The original goes along byte for byte, so that it can be mended and sent again.

        Not one that the rejections topic would not take: a compressed record may be far larger than its topic's limit,
        which is of the bytes on the wire.
        """
        size = (
            len(record.key or b"")
            + len(record.value or b"")
            + sum(len(name) + len(value) for name, value in record.headers)
        )
        is_kept = size <= LARGEST_REQUEST
        left_out = f"; the original has {size:,} bytes and is only there" if not is_kept else ""
        key = record.key if record.key is not None and len(record.key) <= LONGEST_KEY else None
        rejection = Rejection(
            code=refused.code,
            message=f"{refused.message}{left_out}",
            path=refused.path,
            topic=record.topic,
            partition=record.partition,
            offset=record.offset,
            rejected_at=record.timestamp,
            request_id=refused.request_id,
            key=record.key if is_kept else key,
            value=record.value if is_kept else None,
            headers=record.headers if is_kept else (),
        )
        write = Write(self._names.rejections, key, self._codec.encode(rejection))
        self._outbox.send(write, self._track)
        self._reached(CrashPoint.INTAKE_REJECTED)
        self.metrics.rejected[refused.code] += 1
