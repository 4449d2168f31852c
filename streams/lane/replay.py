"""Makes recorded decisions one's own: evolves them as recorded and repeats their outputs. Decides nothing.

What an earlier owner recorded is history, even if today's rules would decide otherwise; what it read without
recording it was ignored and stays ignored. Its outputs may have been lost with it, so they are sent once more:
identical bytes, which every consumer recognises.
"""

from __future__ import annotations

import logging
from collections import deque
from dataclasses import dataclass

from tasker_kafka.schemas.errors import DecodeError, PartitionLost
from tasker_kafka.schemas.records import Command, Forgotten, TaskCreated, Transitions
from tasker_kafka.schemas.state import Stub, TaskState
from tasker_kafka.streams.domain import fold, outputs
from tasker_kafka.topics.log import Record

from .crash_points import CrashPoint
from .emit import NO_TASK, Emitter, refusal_in
from .forgetting import apply_forgetting, decide_forget
from .owned import OwnedPartition
from .plan_desk import PlanDesk, plan_hash_for
from .settings import LaneSettings
from .wire import CommandWire, Refusal

__all__ = ["Recorded", "Replay"]

_log = logging.getLogger("tasker.lane")


@dataclass(frozen=True, slots=True)
class Recorded:
    """A record of the accepted history: its key and what it says."""

    key: bytes
    record: Transitions | Forgotten


class Replay:
    """Carries the recorded decisions of the commands from N on over into the partition's memory."""

    def __init__(
        self,
        *,
        owned: OwnedPartition,
        desk: PlanDesk,
        wire: CommandWire,
        emitter: Emitter,
        settings: LaneSettings,
        partition: int,
        recorded: list[Recorded],
    ) -> None:
        self._owned = owned
        self._desk = desk
        self._wire = wire
        self._emitter = emitter
        self._settings = settings
        self._partition = partition
        self._left = deque(recorded)

    async def take(self, source: Record) -> None:
        """The next command of the log that is at or below the highest recorded one."""
        await self.finish(before=source.offset)
        if self._left and self._left[0].record.command_offset == source.offset:
            await self._repeat(self._left.popleft(), source)

    async def finish(self, *, before: int) -> None:
        """Recorded decisions below `before` whose commands are no longer in the log: fold them, if loss is accepted."""
        while self._left and self._left[0].record.command_offset < before:
            recorded = self._left.popleft()
            if not self._settings.accept_loss:
                raise PartitionLost(
                    f"partition {self._partition}: command {recorded.record.command_offset} was decided, is not in a "
                    "checkpoint, and is no longer in the log, so its outputs cannot be repeated",
                    next_step="start once with --accept-loss to go on without them",
                )
            await self._repeat(recorded, None)

    async def _repeat(self, recorded: Recorded, source: Record | None) -> None:
        owned, record = self._owned, recorded.record
        owned.ignored.clear()  # listed in this record
        owned.next_command = max(owned.next_command, record.command_offset + 1)
        owned.metrics.replayed += 1
        if isinstance(record, Forgotten):
            forgetting = decide_forget(
                owned, self._desk, until=record.until, now=record.at, command_offset=record.command_offset
            )
            apply_forgetting(owned, forgetting, horizon=record.horizon)
        elif recorded.key == NO_TASK:
            refusal = refusal_in(record)
            if refusal is not None and source is not None:
                self._emitter.send(self._emitter.rejection(source, refusal))
        else:
            await self._fold(recorded.key, record, source)
        self._settings.crash_points.reached(CrashPoint.REPLAY_OUTPUTS_REPEATED)

    async def _fold(self, task_id: bytes, record: Transitions, source: Record | None) -> None:
        owned = self._owned
        before = owned.table.get(task_id)
        command = None if source is None else self._wire.read(source)
        plan_hash = _plan_hash(before, command, record)
        plan = None if plan_hash is None else await self._desk.prepare(plan_hash)
        after = fold(before, record, plan)
        if after is not before:
            owned.replace(task_id, before, after, plan)
        if source is None:
            return
        if not isinstance(command, Command):
            raise DecodeError(f"command {record.command_offset} was decided and cannot be decoded any more")
        try:
            produced = outputs(before, after, command, record, plan)
            writes = self._emitter.outputs(task_id, record, produced, plan, source)
        except Exception:
            # They were sent by who recorded it, or could not be built there either: no reason never to start again.
            owned.metrics.unrepeated += 1
            _log.exception("the outputs of command %d cannot be repeated", record.command_offset)
            return
        for write in writes:
            self._emitter.send(write)


def _plan_hash(
    before: TaskState | Stub | None, command: Command | Refusal | None, record: Transitions
) -> bytes | None:
    """The plan that the record is folded with."""
    if isinstance(command, Command):
        return plan_hash_for(command) if before is None else before.plan_hash
    if before is not None:
        return before.plan_hash
    created = record.transitions[0].data if record.transitions else None
    return created.plan_hash if isinstance(created, TaskCreated) else None
