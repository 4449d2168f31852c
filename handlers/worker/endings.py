"""From the end of an attempt to its answer, with the domain events that go with it."""

from __future__ import annotations

from collections.abc import Callable

from tasker_kafka.handlers.publishing.declared import StepEvents
from tasker_kafka.handlers.results import CallEnd, Completed, Failed
from tasker_kafka.schemas.records import Dispatch, EventCandidate, Value

from . import replies
from .attempt import Attempt, Delivery, Stop
from .crash_points import WorkerCrashPoint
from .equipment import Equipment

__all__ = ["Endings"]


class Endings:
    """Answers attempts whose handler has ended, or is not waited for any longer, and dispatches that are not run."""

    def __init__(self, equipment: Equipment) -> None:
        self._with = equipment
        self._answering = equipment.answering
        self._reached = equipment.crash_points.reached

    def account(self, delivery: Delivery, started_at: int | None = None) -> replies.Account:
        """Who answers, and when."""
        now = self._with.log.now_ms()
        return replies.Account(
            self._with.worker_id, now if started_at is None else started_at, now, delivery.count
        )

    async def answer(self, attempt: Attempt, end: CallEnd) -> None:
        """Send the answer of this end. Waits for a large result to be stored, and for registered publishers."""
        dispatch, prepared = attempt.dispatch, attempt.prepared
        account = self.account(attempt.deliveries[0], attempt.started_at or None)
        if isinstance(end, Completed) and prepared.schema is not None:
            end = replies.checked(end, prepared.schema)
        durable: tuple[EventCandidate, ...] = ()
        release: Callable[[], None] | None = None
        if attempt.events is not None:
            found = await attempt.events.answer(end)
            end, durable = found.end, found.durable
            release = self._with.events.release_of(attempt.events, found.lossy)
        if isinstance(end, Failed):
            result = replies.failed(dispatch, account, end)
        else:
            value: Value = end.result
            if len(end.result) > prepared.inline_limit:
                value = await self._with.values.keep(dispatch.task_id, end.result)
                self._reached(WorkerCrashPoint.PAYLOAD_STORED)
            result = replies.completed(dispatch, account, end, value)
        if durable:
            result = replies.with_events(result, durable)
        self._answering.answer(
            dispatch, result, attempt.deliveries, must_arrive=attempt.is_released, release=release
        )

    def answer_abandoned(self, attempt: Attempt, end: Failed) -> None:
        """Send the answer of a handler that may still run, where no event goes with it: at once."""
        account = self.account(attempt.deliveries[0], attempt.started_at or None)
        result = replies.failed(attempt.dispatch, account, end)
        self._answering.answer(attempt.dispatch, result, attempt.deliveries, must_arrive=attempt.is_released)

    def give_back(self, attempt: Attempt) -> None:
        """The worker stops. What the engine does not watch yet is simply delivered again."""
        if attempt.is_released:
            account = self.account(attempt.deliveries[0], attempt.started_at)
            result = replies.given_back(attempt.dispatch, account)
            self._answering.answer(attempt.dispatch, result, attempt.deliveries, must_arrive=True)
            self._reached(WorkerCrashPoint.GIVEN_BACK)
            return
        for delivery in attempt.deliveries:
            delivery.drop()

    async def refuse(self, dispatch: Dispatch, delivery: Delivery, declared: StepEvents, end: Failed) -> None:
        """Answer a dispatch that is not run any more, with the events that its failure makes."""
        events = self._with.events.open(declared, dispatch)
        found = await events.answer(end)
        result = replies.failed(dispatch, self.account(delivery), end)
        release = self._with.events.release_of(events, found.lossy)
        self._answering.answer(
            dispatch, replies.with_events(result, found.durable), [delivery], release=release
        )

    @staticmethod
    def end_of_stopped(attempt: Attempt) -> Failed | None:
        """What a stop that we asked for makes of the attempt."""
        if attempt.stop_reason is Stop.TIMEOUT:
            return replies.timed_out(attempt.prepared.timeout_seconds)
        if attempt.stop_reason is Stop.CANCELLED:
            return replies.cancelled(attempt.cancellation)
        return None
