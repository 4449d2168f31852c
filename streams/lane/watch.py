"""What the owner does without being asked: fire timers, forget, and look for what should have moved.

It only writes commands, so nothing here can be wrong for the state: `decide` accepts what still fits. It may be
late, never early by the broker's clock, and nothing depends on it running in one process only.

It begins when it knows what time it is: when a command has been read that was written since the partition was taken.
Earlier ones tell how late it was when they were written, and the host's clock may be wrong. Where nobody writes one,
it writes one itself. Nothing is lost by waiting: what it writes would lie behind the backlog anyway.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Final

from tasker_kafka.schemas.records import FORGOTTEN_KEY, Body, Forget, Reconcile, TimerDue
from tasker_kafka.schemas.state import TaskHead, TaskState
from tasker_kafka.schemas.words import CLOSED_TASK_STATES, TimerKind
from tasker_kafka.streams.domain.reconcile import OVERDUE_MS, REDISPATCH_AFTER_MS, findings
from tasker_kafka.streams.domain.timers import due_timers, next_due
from tasker_kafka.topics.log import Log, TopicPartition

from .crash_points import CrashPoint
from .emit import NO_TASK, Emitter
from .owned import OwnedPartition
from .plan_desk import PlanDesk
from .settings import LaneSettings

__all__ = ["Watch"]

ASK_SECONDS: Final = 0.25
"""How long a new owner waits for a command that tells the broker's time."""


class Watch:
    """The clockwork of one live partition; `tick` is called every `tick_interval_ms`."""

    def __init__(
        self,
        *,
        owned: OwnedPartition,
        desk: PlanDesk,
        emitter: Emitter,
        log: Log,
        commands: TopicPartition,
        settings: LaneSettings,
    ) -> None:
        self._owned = owned
        self._desk = desk
        self._emitter = emitter
        self._log = log
        self._commands = commands
        self._settings = settings
        self._loop = asyncio.get_running_loop()
        self._ticked_at = self._loop.time()
        self._ask_at: float | None = self._ticked_at + ASK_SECONDS
        self._knows_time = False
        self._next_forget = 0
        self._next_pass = 0
        self._pass: Iterator[TaskHead] | None = None

    async def tick(self) -> None:
        """Everything whose time has come."""
        self._note_stall()
        if not self._knows_time and not self._learn_time():
            return
        await self._fire_timers()
        self._forget()
        if self._settings.reconcile_interval_ms:
            await self._reconcile()

    def _note_stall(self) -> None:
        now = self._loop.time()
        if (now - self._ticked_at) * 1000 > self._settings.tick_interval_ms + self._settings.stall_ms:
            self._owned.stalled()
        self._ticked_at = now

    def _learn_time(self) -> bool:
        """Whether a command of this owner's time was read; if none comes, it is written where there are tasks.

        A Forget of nothing changes no state.
        """
        owned = self._owned
        if owned.next_command > owned.found_to:
            now = owned.clock.now_ms()
            owned.heartbeats.quiet_since = now
            self._next_forget, self._next_pass = now, now + self._settings.reconcile_interval_ms
            self._knows_time = True
        elif (
            self._ask_at is not None
            and self._ticked_at >= self._ask_at
            and owned.table.live_count + owned.table.stub_count
        ):
            self._ask_at = None
            self._write(FORGOTTEN_KEY, NO_TASK, Forget(0))
            self._settings.crash_points.reached(CrashPoint.FORGET_SENT)
        return self._knows_time

    # ------------------------------------------------------------------------------------------ timers

    async def _fire_timers(self) -> None:
        owned = self._owned
        now = owned.clock.now_ms()
        silent: list[tuple[bytes, list[TimerDue]]] = []
        for task_id in owned.due.pop_due(now, self._settings.timers_per_tick):
            timers = self._timers_of(task_id, now)
            if any(each.kind is TimerKind.HEARTBEAT for each in timers):
                silent.append((task_id, timers))
            elif timers:
                self._write_timers(task_id, timers, now)
        if silent:
            await self._fire_silent(silent, now)

    def _timers_of(self, task_id: bytes, now: int) -> list[TimerDue]:
        """What is due of a task; puts it back into the queue for what is not."""
        owned = self._owned
        state = owned.table.get(task_id)
        if not isinstance(state, TaskState) or state.next_due is None:
            return []
        repeat = self._settings.timer_repeat_ms
        _, written_at = owned.awaited.get(task_id, (0, now - repeat))
        plan = self._desk.known(state.plan_hash)
        if plan is None or written_at + repeat > now:
            owned.due.schedule(task_id, max(written_at, now - repeat) + repeat + (plan is None) * repeat)
            return []
        signs = owned.heartbeats.signs(state)
        timers = due_timers(state, plan, now, signs)
        if not timers and (due := next_due(state, plan, signs)) is not None:
            owned.due.schedule(task_id, max(due, now + 1))
        return timers

    def _write_timers(self, task_id: bytes, timers: list[TimerDue], now: int) -> None:
        for timer in timers:
            self._write(task_id, task_id, timer)
            self._owned.metrics.timers += 1
            self._settings.crash_points.reached(CrashPoint.TIMER_SENT)
        self._owned.awaited[task_id] = (len(timers), now)
        self._owned.due.schedule(task_id, now + self._settings.timer_repeat_ms)

    async def _fire_silent(self, silent: list[tuple[bytes, list[TimerDue]]], now: int) -> None:
        """Call a handler silent only when everything that was said has been read.

        Not if the log was long in saying so: who was not heard meanwhile may not have been able to write either.
        """
        began = self._loop.time()
        has_read_all = await self._has_read_all()
        if (self._loop.time() - began) * 1000 > self._settings.stall_ms:
            self._owned.stalled()
            has_read_all = False
        for task_id, timers in silent:
            sure = [each for each in timers if has_read_all or each.kind is not TimerKind.HEARTBEAT]
            if sure:
                self._write_timers(task_id, sure, now)
            else:
                self._owned.due.schedule(task_id, now + self._settings.stall_ms)

    async def _has_read_all(self) -> bool:
        return await self._log.end_offset(self._commands) <= self._owned.next_command

    # --------------------------------------------------------------------------------------- forgetting

    def _forget(self) -> None:
        owned = self._owned
        now = owned.clock.now_ms()
        if now < self._next_forget:
            return
        until = owned.retention.due_until(now, self._settings.forget_limit)
        self._next_forget = now + self._settings.forget_interval_ms
        if until is not None:
            self._write(FORGOTTEN_KEY, NO_TASK, Forget(until))
            owned.metrics.forgets += 1
            self._settings.crash_points.reached(CrashPoint.FORGET_SENT)

    def forgotten(self) -> None:
        """A Forget was decided: when it left something due, the next need not wait its minute."""
        if self._owned.retention.due_until(self._owned.clock.now_ms(), 1) is not None:
            self._next_forget = 0

    # --------------------------------------------------------------------------------------- reconciler

    async def _reconcile(self) -> None:
        """A pass over all tasks, some at each tick. Begins only when nothing is left to read."""
        now = self._owned.clock.now_ms()
        if self._pass is None:
            if now < self._next_pass:
                return
            self._next_pass = now + self._settings.reconcile_interval_ms
            if not await self._has_read_all():
                return
            self._pass = self._owned.table.heads()
        for _ in range(self._settings.slice_size):
            head = next(self._pass, None)
            if head is None:
                self._pass = None
                return
            if is_suspicious(head, now):
                self._mend(head, now)

    def _mend(self, head: TaskHead, now: int) -> None:
        owned = self._owned
        state, plan = owned.table.get(head.task_id), self._desk.known(head.plan_hash)
        if not isinstance(state, TaskState) or plan is None:
            return
        for found in findings(state, plan, now, owned.heartbeats.signs(state)):
            kind = found.kind if isinstance(found, Reconcile) else f"timer_{found.kind}"
            owned.metrics.reconciled[kind] += 1
            self._write(head.task_id, head.task_id, found)
            self._settings.crash_points.reached(CrashPoint.RECONCILE_SENT)

    def _write(self, key: bytes, task_id: bytes, body: Body) -> None:
        self._emitter.command(key, task_id, body)


def is_suspicious(head: TaskHead, now: int) -> bool:
    """Whether a task is worth a closer look, as far as its head tells. Whatever moved lately is not."""
    if head.state in CLOSED_TASK_STATES:
        return False
    if head.enqueued and head.created_at <= now - REDISPATCH_AFTER_MS:
        return True
    if head.now > now - OVERDUE_MS:
        return False
    if head.next_due is not None and head.next_due <= now - OVERDUE_MS:
        return True
    return not (head.enqueued or head.in_progress or head.waiting_for_retry) or (
        isinstance(head, TaskState) and bool(head.ready)
    )
