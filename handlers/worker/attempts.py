"""What this worker does with dispatches: answers them, or runs their handlers and answers then.

One asyncio task per running handler, no timer of its own (`deadlines`), no wait for writes (`sender`). The order
that matters, with what a crash in between causes:

1. the handler ends;
2. a large result is stored in `payloads` and acknowledged: else a crash leaves an unused payload, and the dispatch
   is delivered again;
3. the answer is sent and acknowledged: else the dispatch is delivered again;
4. the dispatch is finished, and committed some time: else it is delivered again, and answered again from the
   cache or, by another worker, run again as the same attempt.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from tasker_kafka.handlers.execution import run_async, run_plain
from tasker_kafka.handlers.results import CallEnd, Completed
from tasker_kafka.schemas.errors import DecodeError, SchemaUnknown, TaskerError
from tasker_kafka.schemas.records import Cancellation, Dispatch, TaskRequest
from tasker_kafka.topics.log import Write

from . import replies
from .answers import AttemptKey, attempt_key
from .attempt import Attempt, Delivery, Stop
from .cancellations import is_cancelled_by
from .crash_points import WorkerCrashPoint
from .deadlines import Deadlines
from .endings import Endings
from .equipment import Equipment
from .poison import leave_out, leave_out_unless_newer
from .steps import PreparedStep
from .tasks import BackgroundTasks

__all__ = ["Attempts", "Equipment"]

_logger = logging.getLogger(__name__)
_EVENTS_SECONDS = 1.0
"""What fire-and-forget events get at the end to be sent."""


class Attempts:
    """The attempts that this worker has in hand."""

    def __init__(
        self, equipment: Equipment, on_room: Callable[[], None], on_fatal: Callable[[BaseException], None]
    ) -> None:
        self._with = equipment
        self._answering = equipment.answering
        self._endings = Endings(equipment)
        self._reached = equipment.crash_points.reached
        self._loop = asyncio.get_running_loop()
        self._deadlines = Deadlines()
        self._running: dict[AttemptKey, Attempt] = {}
        self._tasks = BackgroundTasks(on_fatal)
        self._is_closed = False
        self._used = 0
        self._on_room = on_room
        self._on_fatal = on_fatal
        self._emptied: asyncio.Future[None] | None = None
        equipment.cancellations.on_cancelled = self._cancel

    @property
    def is_paused(self) -> bool:
        """No handler is to start: the buffer of fire-and-forget events is full, and blocks."""
        return self._with.events.is_blocking

    @property
    def used(self) -> int:
        """Handlers that run or are about to."""
        return self._used

    # ------------------------------------------------------------------------------------ deliveries

    def take(self, delivery: Delivery, value: bytes | None) -> None:
        """Answer a dispatch, or begin to run its handler. Never waits."""
        dispatch = self._decoded(delivery, value)
        if dispatch is None:
            return
        key = attempt_key(dispatch)
        if self._answering.repeat(key, dispatch, delivery):
            return
        running = self._running.get(key)
        if running is not None:
            _join(running, delivery)
            return
        if self._refused(dispatch, delivery):
            return
        prepared = self._with.steps.find(dispatch)
        if isinstance(prepared, PreparedStep):
            self._start(key, dispatch, delivery, prepared)
        else:
            self._used += 1
            self._tasks.start(self._start_after_reading(dispatch, delivery))

    def give_up(self, delivery: Delivery, value: bytes | None) -> None:
        """Answer a dispatch that has lost every worker it was delivered to."""
        dispatch = self._decoded(delivery, value)
        if dispatch is not None:
            result = replies.worker_lost(dispatch, self._endings.account(delivery))
            self._answering.answer(dispatch, result, [delivery])
            self._reached(WorkerCrashPoint.LOSS_ANSWERED)

    def _decoded(self, delivery: Delivery, value: bytes | None) -> Dispatch | None:
        try:
            if value is None:
                raise DecodeError("no value where a Dispatch belongs")
            return self._with.codec.decode(value, Dispatch)
        except SchemaUnknown as error:
            self._used += 1
            self._tasks.start(self._judge(delivery, error))
        except DecodeError as error:
            leave_out(delivery, error)
        return None

    async def _judge(self, delivery: Delivery, error: SchemaUnknown) -> None:
        fatal = await leave_out_unless_newer(self._with.log, self._with.names, delivery, error)
        if fatal is not None:
            self._on_fatal(fatal)
        self._used -= 1
        self._freed()

    def _refused(self, dispatch: Dispatch, delivery: Delivery) -> bool:
        """Answer a dispatch that is not to be run any more; False: it is."""
        cancellation = self._with.cancellations.find(dispatch)
        if cancellation is not None:
            prepared = self._with.steps.find(dispatch)
            end = replies.cancelled(cancellation)
            if isinstance(prepared, PreparedStep) and prepared.events is not None:
                self._tasks.start(self._endings.refuse(dispatch, delivery, prepared.events, end))
            else:
                result = replies.failed(dispatch, self._endings.account(delivery), end)
                self._answering.answer(dispatch, result, [delivery])
            return True
        if dispatch.queue_deadline is not None and self._with.log.now_ms() > dispatch.queue_deadline:
            result = replies.queue_timeout(dispatch, self._endings.account(delivery))
            self._answering.answer(dispatch, result, [delivery])
            return True
        return False

    # ------------------------------------------------------------------------------------ running

    async def _start_after_reading(self, dispatch: Dispatch, delivery: Delivery) -> None:
        try:
            prepared = await self._with.steps.find_after_reading(dispatch)
        except TaskerError as error:
            prepared = f"the templates cannot be read: {error.message}"
        self._used -= 1
        if isinstance(prepared, PreparedStep):
            self._start(attempt_key(dispatch), dispatch, delivery, prepared)
            return
        _logger.warning("returns a dispatch of step %s: %s", dispatch.step, prepared)
        result = replies.unknown_handler(dispatch, self._endings.account(delivery), prepared)
        self._answering.answer(dispatch, result, [delivery])
        self._freed()

    def _start(self, key: AttemptKey, dispatch: Dispatch, delivery: Delivery, prepared: PreparedStep) -> None:
        attempt = Attempt(
            key, dispatch, [delivery], prepared, self._with.settings.progress_seconds, self, self._loop
        )
        if prepared.events is not None:
            attempt.events = self._with.events.open(prepared.events, dispatch)
        self._running[key] = attempt
        self._used += 1
        task = self._tasks.task_of(self._drive(attempt))
        if not attempt.is_over:  # where tasks begin at once it may have ended already
            attempt.task = task

    async def _drive(self, attempt: Attempt) -> None:
        """From the start of an attempt to its answer."""
        end: CallEnd | None = None
        if attempt.stop_reason is None:
            try:
                end = await self._run(attempt)
            except asyncio.CancelledError:
                if self._is_closed:
                    raise
        attempt.task = None
        if attempt.events is not None:
            attempt.events.close()
        self._reached(WorkerCrashPoint.HANDLER_ENDED)
        if not attempt.is_over:
            self._leave(attempt)
        end = self._verdict(attempt, end)
        if end is not None:
            await self._endings.answer(attempt, end)

    async def _run(self, attempt: Attempt) -> CallEnd:
        handler = attempt.prepared.handler
        values = self._with.values
        try:
            call = values.call_at_hand(attempt.dispatch, attempt.prepared)
            if call is None:
                call = await values.call_for(attempt.dispatch, attempt.prepared)
        except TaskerError as error:
            return replies.failure_of("PayloadMissing", "payload_missing", error.message, retryable=False)
        if handler.isolation == "process":
            return await self._with.children.run(handler, call, attempt, lambda: self._begin(attempt))
        self._begin(attempt)
        if handler.is_async:
            return await run_async(handler, call, attempt)
        return await self._loop.run_in_executor(self._with.threads, run_plain, handler, call, attempt)

    def _begin(self, attempt: Attempt) -> None:
        """The handler starts now."""
        now = self._loop.time()
        attempt.started_at = self._with.log.now_ms()
        attempt.report_at = now + self._with.settings.start_report_seconds
        attempt.end_at = now + attempt.prepared.timeout_seconds
        self._deadlines.add(min(attempt.report_at, attempt.end_at), attempt)
        self._reached(WorkerCrashPoint.HANDLER_BEGUN)

    def _leave(self, attempt: Attempt) -> None:
        """The attempt holds no place any more."""
        attempt.is_over = True
        for delivery in attempt.deliveries:
            delivery.handler_ended()
        del self._running[attempt.key]
        self._used -= 1
        self._freed()

    def _freed(self) -> None:
        self._on_room()
        if self._emptied is not None and not self._used and not self._emptied.done():
            self._emptied.set_result(None)

    # ------------------------------------------------------------------------------------ answering

    def _verdict(self, attempt: Attempt, end: CallEnd | None) -> CallEnd | None:
        """What to answer to an attempt whose handler has ended (None: by CancelledError); None: nothing."""
        reason = attempt.stop_reason
        if isinstance(end, Completed):
            # A late success counts only after a timeout.
            return None if attempt.is_answered and reason is not Stop.TIMEOUT else end
        if attempt.is_answered:
            return None
        if reason is Stop.SHUTDOWN:
            self._endings.give_back(attempt)
            return None
        return self._endings.end_of_stopped(attempt) or end or _CANCELLED_ITSELF

    # ------------------------------------------------------------------------- what an attempt asks for

    def report(self, attempt: Attempt) -> None:
        """Tell the engine that it runs."""
        self._answering.report(attempt)

    def beat(self, attempt: Attempt) -> None:
        """Send a heartbeat."""
        self._answering.beat(attempt)

    def stop(self, attempt: Attempt, reason: Stop) -> None:
        """Tell a handler to stop; a thread whose time is up is abandoned at once, others after a grace."""
        if attempt.stop_reason is not None or attempt.is_over:
            return
        attempt.stop_reason = reason
        handler = attempt.prepared.handler
        is_thread = handler.isolation == "worker" and not handler.is_async
        if is_thread and reason is Stop.TIMEOUT:
            self.abandon(attempt)
            return
        if attempt.task is not None and not is_thread:
            attempt.task.cancel()
        attempt.give_up_at = self._loop.time() + self._with.settings.cancel_grace_seconds
        self._deadlines.add(attempt.give_up_at, attempt)

    def abandon(self, attempt: Attempt) -> None:
        """Answer without waiting for the handler any longer."""
        attempt.is_answered = True
        self._leave(attempt)
        if attempt.stop_reason is Stop.SHUTDOWN:
            self._endings.give_back(attempt)
            return
        end = self._endings.end_of_stopped(attempt)
        if end is not None:
            kind = "task" if attempt.prepared.handler.is_async else "thread"
            end = replies.abandoned(end, kind)
            if attempt.events is None:
                self._endings.answer_abandoned(attempt, end)
            else:
                self._tasks.start(self._endings.answer(attempt, end))

    async def submit(self, request: TaskRequest) -> None:
        """Write a task request of a handler."""
        data = self._with.codec.encode(request)
        await self._with.outbox.write(Write(self._with.names.task_requests, request.request_id, data))

    # ------------------------------------------------------------------------------- from outside

    def _cancel(self, task_id: bytes, cancellation: Cancellation) -> None:
        for key, attempt in list(self._running.items()):
            if key[0] == task_id and is_cancelled_by(attempt.dispatch, cancellation):
                attempt.cancellation = cancellation
                self.stop(attempt, Stop.CANCELLED)

    def report_early(self, is_going: Callable[[Delivery], bool]) -> None:
        """Report running attempts of these deliveries now: their partition is about to go."""
        now = self._loop.time()
        for attempt in list(self._running.values()):
            if attempt.started_at and attempt.report_at > now and any(map(is_going, attempt.deliveries)):
                attempt.report_at = now
                attempt.wake(now)

    async def wind_down(self, timeout: float, grace: float) -> None:
        """Wait for handlers, at most `timeout` seconds; then stop them, and after `grace` seconds give back the rest.

        Given back is what the engine watches; anything else is simply delivered again.
        """
        await self._wait_empty(timeout)
        for attempt in list(self._running.values()):
            self.stop(attempt, Stop.SHUTDOWN)
        await self._wait_empty(grace)
        for attempt in list(self._running.values()):
            self.abandon(attempt)

    async def _wait_empty(self, timeout: float) -> None:
        if self._used:
            self._emptied = self._loop.create_future()
            await asyncio.wait([self._emptied], timeout=timeout)

    async def close(self) -> None:
        """End every task, at once; what is still to be sent of fire-and-forget events gets a second."""
        self._is_closed = True
        self._deadlines.close()
        await self._tasks.close()
        await self._with.events.close(_EVENTS_SECONDS)


def _join(attempt: Attempt, delivery: Delivery) -> None:
    """The same attempt was delivered again, while it runs."""
    if attempt.is_released:
        delivery.finish()
    else:
        attempt.deliveries.append(delivery)


_CANCELLED_ITSELF = replies.failure_of(
    "CancelledError", "CancelledError", "the handler raised CancelledError without having been cancelled"
)
