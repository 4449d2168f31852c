"""Waiting for what becomes of things that were sent: the part that handles and clients share."""

from __future__ import annotations

import asyncio
import json
from typing import Any, Final

from tasker_kafka.schemas.codec import Codec
from tasker_kafka.schemas.errors import DecodeError, PlanUnknown, WaitTimeout
from tasker_kafka.schemas.output import evaluate_output, output_steps

from .history import AcceptedHistory
from .log import Log, TopicPartition
from .names import TopicNames
from .partitioner import partition_for
from .payloads import Payloads
from .plans import PlanStore
from .progress import AnswerProgress, TaskProgress, TaskSnapshot
from .tail import Tail

__all__ = ["Following"]

_CLOCK_MARGIN_MS: Final = 600_000
"""Brokers' and callers' clocks differ: a search by time begins this much earlier."""

Progress = TaskProgress | AnswerProgress


class Following:
    """Tells progress objects what their partitions say, and makes a task's output from it."""

    def __init__(self, log: Log, names: TopicNames, codec: Codec, plans: PlanStore) -> None:
        self._log = log
        self._names = names
        self._codec = codec
        self._plans = plans
        self._payloads = Payloads(log, names)
        self._tail = Tail(log, names.transitions)

    async def close(self) -> None:
        """Stop reading."""
        await self._tail.close()

    async def begin(self, progress: Progress) -> None:
        """Call before sending: nothing that comes of it will be missed."""
        for partition in await self._partitions(progress.key):
            await self._tail.watch(partition, progress)

    async def begin_earlier(self, progress: TaskProgress, since_ms: int | None) -> None:
        """For what was sent before: read the partitions from `since_ms` (None: their beginning), then follow."""
        progress.hold()
        try:
            await self.begin(progress)
            for partition in await self._partitions(progress.key):
                await self._scan(partition, await self._start(partition, since_ms), progress)
        finally:
            progress.release()

    async def wait_ended(self, progress: Progress, timeout: float | None, what: str) -> None:
        """Until the progress is at its end. WaitTimeout after `timeout` seconds."""
        partitions = await self._partitions(progress.key)
        try:
            async with asyncio.timeout(timeout):
                with self._tail.reading(partitions):
                    while not progress.is_ended:
                        await progress.wait_change()
        except TimeoutError:
            raise self._too_late(progress, timeout or 0.0, what) from None

    async def catch_up(self, progress: Progress) -> None:
        """Until the progress knows everything that is in the log now."""
        partitions = await self._partitions(progress.key)
        with self._tail.reading(partitions):
            for partition in partitions:
                await self._tail.catch_up(partition)

    async def output(self, snapshot: TaskSnapshot) -> Any:
        """The own output of a task that is complete."""
        store, plan_hash = self._plans, snapshot.plan_hash
        plan = None if plan_hash is None else store.get(plan_hash)
        if plan is None and plan_hash is not None:
            await store.catch_up()
            plan = store.get(plan_hash)
        if plan is None:
            raise PlanUnknown(
                f"the plan {(plan_hash or b'').hex()[:12]} of the task is not published any more",
                next_step="publish its template again; the task's results are in its transitions",
            )
        results: dict[str, Any] = {}
        for name in output_steps(plan):
            data = await self._payloads.resolve(snapshot.results.get(name))
            results[name] = None if data is None else _value_of(name, data)
        return evaluate_output(plan, results)

    # ------------------------------------------------------------------------------------------- inside

    async def _partitions(self, key: bytes) -> tuple[TopicPartition, TopicPartition]:
        """Where a key's transitions and rejections are."""
        transitions, rejections = self._names.transitions, self._names.rejections
        return (
            TopicPartition(transitions, partition_for(key, await self._log.partition_count(transitions))),
            TopicPartition(rejections, partition_for(key, await self._log.partition_count(rejections))),
        )

    async def _start(self, partition: TopicPartition, since_ms: int | None) -> int:
        if since_ms is None:
            return await self._log.begin_offset(partition)
        return await self._log.offset_at(partition, max(0, since_ms - _CLOCK_MARGIN_MS))

    async def _scan(self, partition: TopicPartition, start: int, progress: TaskProgress) -> None:
        """Give the progress its records from `start` to the partition's end by now."""
        end = await self._log.end_offset(partition)
        if start >= end:
            return
        history = AcceptedHistory()
        has_owners = partition.topic == self._names.transitions
        reader = await self._log.reader({partition: start})
        try:
            while reader.position(partition) < end:
                for batch in (await reader.fetch()).values():
                    for record in batch.records:
                        in_office = history.see(record) if has_owners else True
                        if in_office and record.key == progress.key:
                            progress.take_now(record)
        finally:
            await reader.close()

    def _too_late(self, progress: Progress, timeout: float, what: str) -> WaitTimeout:
        reason = "" if self._tail.failure is None else f"; reading fails: {self._tail.failure.message}"
        if isinstance(progress, AnswerProgress):
            return WaitTimeout(
                f"no answer about {what} within {timeout:g} s{reason}",
                next_step="it may still be answered: send the same command_id again, or see that an orchestrator runs",
            )
        state = progress.snapshot().state
        return WaitTimeout(
            f"{what} has not ended within {timeout:g} s, it is {state or 'not accepted yet'}{reason}",
            next_step=(
                "wait again on the same handle; the task goes on"
                if state is not None
                else "see that an orchestrator runs (`tasker doctor`); the request stays in the log"
            ),
        )


def _value_of(step: str, data: bytes) -> Any:
    """A result as JSON. DecodeError: a worker of another make has sent something else."""
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        raise DecodeError(
            f"the result of step {step} is no JSON: {error}",
            next_step="look at the worker that sent it; `tasker task show ID` shows the other results",
        ) from None
