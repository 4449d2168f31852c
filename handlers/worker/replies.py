"""What the worker answers in each case, as values. The rules are in tasks.md's words: outcome, code, retryable.

Every dispatch gets an answer, a cancelled one too: then no dispatch can wait for ever because a control record
came from an owner whose decision never became history. Where it did, the engine counts the late answer only.
"""

from __future__ import annotations

import msgspec

from tasker_kafka.handlers.results import CallEnd, Completed, Failed
from tasker_kafka.schemas.errors import TaskerError
from tasker_kafka.schemas.records import Cancellation, Dispatch, EventCandidate, Failure, StepResult, Value
from tasker_kafka.schemas.schema_check import JsonSchema
from tasker_kafka.schemas.words import Outcome

__all__ = [
    "MAX_DELIVERIES",
    "Account",
    "abandoned",
    "cancelled",
    "checked",
    "completed",
    "failed",
    "failure_of",
    "given_back",
    "queue_timeout",
    "refused",
    "timed_out",
    "unknown_handler",
    "with_events",
    "worker_lost",
]

MAX_DELIVERIES = 3
"""A dispatch that has been delivered as often, each time to a worker that was lost, is not run again."""


class Account(msgspec.Struct, frozen=True):
    """Who answers, and the times of the attempt (ms)."""

    worker_id: str
    started_at: int
    finished_at: int
    delivery_count: int


def completed(dispatch: Dispatch, account: Account, end: Completed, result: Value) -> StepResult:
    """The handler returned; `result` is its result, or where it was stored."""
    return StepResult(
        life=dispatch.life,
        step=dispatch.step,
        attempt=dispatch.attempt,
        outcome=Outcome.SUCCESS,
        worker_id=account.worker_id,
        started_at=account.started_at,
        finished_at=account.finished_at,
        result=result,
        metadata=end.metadata,
        delivery_count=account.delivery_count,
    )


def failed(
    dispatch: Dispatch, account: Account, end: Failed, outcome: Outcome = Outcome.FAILURE
) -> StepResult:
    """The attempt failed, or ended without having been run."""
    return StepResult(
        life=dispatch.life,
        step=dispatch.step,
        attempt=dispatch.attempt,
        outcome=outcome,
        worker_id=account.worker_id,
        started_at=account.started_at,
        finished_at=account.finished_at,
        failure=end.failure,
        metadata=end.metadata,
        delivery_count=account.delivery_count,
    )


def with_events(result: StepResult, events: tuple[EventCandidate, ...]) -> StepResult:
    """The same answer, with the domain events that go with it."""
    return msgspec.structs.replace(result, events=events) if events else result


def queue_timeout(dispatch: Dispatch, account: Account) -> StepResult:
    """Nobody took it in time: counted and retryable as any failure."""
    waited = account.finished_at - dispatch.dispatched_at
    end = failure_of("QueueTimeout", "queue_timeout", f"waited {waited / 1000:g} s for a worker, too long")
    return failed(dispatch, account, end)


def unknown_handler(dispatch: Dispatch, account: Account, reason: str) -> StepResult:
    """This worker cannot run it: uncounted, and again later."""
    return failed(
        dispatch, account, failure_of("UnknownHandler", "unknown_handler", reason), Outcome.RETURNED
    )


def given_back(dispatch: Dispatch, account: Account) -> StepResult:
    """The worker stops while the handler runs: uncounted, and again at once."""
    end = failure_of(
        "WorkerStopped", "given_back", f"worker {account.worker_id} stopped while the handler ran"
    )
    return failed(dispatch, account, end, Outcome.GIVEN_BACK)


def worker_lost(dispatch: Dispatch, account: Account) -> StepResult:
    """Every delivery ended its worker: final."""
    end = failure_of(
        "WorkerLost",
        "worker_lost",
        f"delivered {account.delivery_count} times, and each time its worker was lost; not run again",
        retryable=False,
    )
    return failed(dispatch, account, end, Outcome.WORKER_LOST)


def cancelled(cancellation: Cancellation | None) -> Failed:
    """The handler was stopped, or not run, because of a cancellation."""
    reason = "" if cancellation is None else f": {cancellation.reason}"
    return failure_of("Cancelled", "cancelled", f"the task or step was cancelled{reason}")


def timed_out(seconds: float) -> Failed:
    """The handler was stopped when its time was up."""
    return failure_of("Timeout", "timeout", f"the handler ran longer than {seconds:g} s and was stopped")


def abandoned(end: Failed, kind: str) -> Failed:
    """The same, for a handler that could not be stopped: `kind` is what still runs."""
    failure = end.failure
    message = f"{failure.message}; its {kind} could not be stopped and was abandoned: it may still run"
    return failure_of(failure.type, failure.code, message)


def checked(end: Completed, schema: JsonSchema) -> CallEnd:
    """The end itself, or a permanent failure when the result violates the step's `result_schema`."""
    value = msgspec.json.decode(end.result)
    if schema.is_satisfied_by(value):
        return end
    first, *more = schema.violations(value, root="result")
    text = f"the result violates the step's result_schema: {first}" + (
        f" (and {len(more)} more)" if more else ""
    )
    return failure_of("ResultSchemaViolation", "invalid_result", text, retryable=False)


def failure_of(kind: str, code: str, message: str, *, retryable: bool = True) -> Failed:
    """A failure that the worker itself found."""
    return Failed(Failure(type=kind, code=code, message=message, retryable=retryable))


def refused(error: TaskerError) -> Failed:
    """The answer itself could not be written."""
    return failure_of("RecordTooLarge", "record_too_large", error.message, retryable=False)
