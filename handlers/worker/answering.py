"""What goes from the worker to the engine: answers, start reports, heartbeats.

An answer is kept as long as there is room, so that its dispatch, delivered again, is answered and not run again.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from tasker_kafka.schemas.codec import Codec
from tasker_kafka.schemas.errors import EncodeError, TaskerError
from tasker_kafka.schemas.records import Command, Dispatch, Heartbeat, StepResult, StepStarted
from tasker_kafka.schemas.words import Outcome
from tasker_kafka.topics.crash_points import NO_CRASH_POINTS, CrashPoints
from tasker_kafka.topics.log import Write

from . import replies
from .answers import AnswerCache, AttemptKey, attempt_key
from .attempt import Attempt, Delivery
from .crash_points import WorkerCrashPoint
from .sender import Sender

__all__ = ["Answering"]


class Answering:
    """Writes to the commands topic, key = task id."""

    def __init__(
        self,
        sender: Sender,
        codec: Codec,
        topic: str,
        worker_id: str,
        cache_bytes: int,
        *,
        crash_points: CrashPoints[WorkerCrashPoint] = NO_CRASH_POINTS,
    ) -> None:
        self._sender = sender
        self.reached = crash_points.reached
        self._codec = codec
        self._topic = topic
        self._worker_id = worker_id
        self._answers = AnswerCache(cache_bytes)
        self.answered = self.repeated = 0
        """Answers given, and given again from the cache."""

    def answer(
        self,
        dispatch: Dispatch,
        result: StepResult,
        deliveries: list[Delivery],
        *,
        must_arrive: bool = False,
        release: Callable[[], None] | None = None,
    ) -> None:
        """Send an answer; the deliveries are finished once it is acknowledged.

        `must_arrive`: it is sent again after a failure even when the partition has gone to another worker, because
        the dispatch will not be delivered again. `release`: called once it is acknowledged, as it is.
        """
        try:
            data = self._codec.encode(Command(dispatch.task_id, result))
        except EncodeError as error:
            data, release = self._codec.encode(Command(dispatch.task_id, _unwritable(result, error))), None
        self.answered += 1
        self._answers.put(attempt_key(dispatch), data)
        self._send(dispatch, data, _Reply(self, dispatch, result, deliveries, must_arrive, release))
        self.reached(WorkerCrashPoint.ANSWER_SENT)

    def repeat(self, key: AttemptKey, dispatch: Dispatch, delivery: Delivery) -> bool:
        """Send the answer again that this attempt has got; False when none is known."""
        data = self._answers.get(key)
        if data is None:
            return False
        self.repeated += 1
        self._send(dispatch, data, _Reply(self, dispatch, None, [delivery], False))
        self.reached(WorkerCrashPoint.ANSWER_REPEATED)
        return True

    def report(self, attempt: Attempt) -> None:
        """Tell the engine that the attempt runs: from the acknowledgement on the engine watches it."""
        dispatch = attempt.dispatch
        body = StepStarted(
            life=dispatch.life,
            step=dispatch.step,
            attempt=dispatch.attempt,
            worker_id=self._worker_id,
            started_at=attempt.started_at,
        )
        self._send(dispatch, self._codec.encode(Command(dispatch.task_id, body)), _StartReport(self, attempt))
        self.reached(WorkerCrashPoint.REPORT_SENT)

    def beat(self, attempt: Attempt) -> None:
        """Send a heartbeat with the newest progress; may be lost."""
        dispatch = attempt.dispatch
        body = Heartbeat(
            life=dispatch.life, step=dispatch.step, attempt=dispatch.attempt, progress=attempt.progress
        )
        data = self._codec.encode(Command(dispatch.task_id, body))
        self._sender.send_lossy(Write(self._topic, dispatch.task_id, data))

    def _send(self, dispatch: Dispatch, data: bytes, receipt: _Reply | _StartReport) -> None:
        self._sender.send(Write(self._topic, dispatch.task_id, data), receipt)


class _Reply(msgspec.Struct, eq=False):
    """Waits for an answer's acknowledgement."""

    _answering: Answering
    _dispatch: Dispatch
    _result: StepResult | None
    _deliveries: list[Delivery]
    _must_arrive: bool
    _release: Callable[[], None] | None = None

    def acknowledged(self) -> None:
        self._answering.reached(WorkerCrashPoint.ANSWER_ACKNOWLEDGED)
        for delivery in self._deliveries:
            delivery.finish()
        if self._release is not None:
            self._release()

    def is_wanted(self) -> bool:
        return self._must_arrive or any(not delivery.is_lost for delivery in self._deliveries)

    def refused(self, error: TaskerError) -> None:
        if self._result is not None:
            smaller = _unwritable(self._result, error)
            self._answering.answer(self._dispatch, smaller, self._deliveries, must_arrive=self._must_arrive)


class _StartReport:
    """Waits for a start report's acknowledgement: then the engine watches the attempt, and the dispatch is finished."""

    __slots__ = ("_answering", "_attempt")

    def __init__(self, answering: Answering, attempt: Attempt) -> None:
        self._answering = answering
        self._attempt = attempt

    def acknowledged(self) -> None:
        self._answering.reached(WorkerCrashPoint.REPORT_ACKNOWLEDGED)
        self._attempt.is_released = True
        for delivery in self._attempt.deliveries:
            delivery.finish()

    def is_wanted(self) -> bool:
        return not self._attempt.is_over

    def refused(self, error: TaskerError) -> None:
        """A start report has a fixed, small size."""


def _unwritable(result: StepResult, error: TaskerError) -> StepResult:
    end = replies.refused(error)
    return msgspec.structs.replace(
        result, outcome=Outcome.FAILURE, result=None, metadata=None, events=(), failure=end.failure
    )
