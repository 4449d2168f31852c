"""Whether a failed attempt is tried again, and when: policies that return values.

The first run is attempt 1 and always allowed. A delay is a function of the attempt's number in its budget and of
a hash of (task, step, attempt), so the same failure is always retried at the same millisecond.
"""

from __future__ import annotations

from typing import Final

from tasker_kafka.schemas.identity import jitter_unit
from tasker_kafka.schemas.limits import RETRY_AFTER_SECONDS
from tasker_kafka.schemas.plan import RetryPolicy
from tasker_kafka.schemas.records import Failure
from tasker_kafka.schemas.state import StepState

__all__ = [
    "DEADLINE_EXCEEDED",
    "MAX_REQUESTED_DELAY_MS",
    "RETURNED_DELAY_MS",
    "allows_retry",
    "attempts_used",
    "backoff_ms",
    "budget",
    "delay_ms",
    "is_last_attempt",
    "past_deadline",
]

MAX_REQUESTED_DELAY_MS: Final = RETRY_AFTER_SECONDS.maximum * 1000
"""The longest Retry-After that is honoured."""
RETURNED_DELAY_MS: Final = 10_000
"""How long a dispatch rests that a worker gave back because it does not know the handler."""
DEADLINE_EXCEEDED: Final = "deadline_exceeded"


def budget(policy: RetryPolicy, override: int | None = None) -> int:
    """Attempts in all that one budget grants, at least 1. `override`: an operator's max_attempts."""
    return max(1, policy.max_attempts if override is None else override)


def attempts_used(step: StepState) -> int:
    """Attempts of the current budget that were granted and counted so far."""
    return step.attempt - step.base


def is_last_attempt(policy: RetryPolicy, step: StepState) -> bool:
    """Whether no retry can follow the attempt that is granted now."""
    return not policy.retryable or attempts_used(step) >= budget(policy, step.max_attempts)


def allows_retry(policy: RetryPolicy, step: StepState, failure: Failure) -> bool:
    """Whether the attempt that failed so is followed by another one."""
    return (
        failure.retryable
        and policy.retryable
        and failure.code not in policy.non_retryable
        and attempts_used(step) < budget(policy, step.max_attempts)
    )


def backoff_ms(policy: RetryPolicy, failed: int) -> int:
    """Delay after the `failed`-th failed attempt of a budget, before jitter and cap, ms."""
    base = policy.backoff_base_ms
    match policy.backoff:
        case "exponential":
            return base << failed
        case "linear":
            return base * failed
        case "fibonacci":
            before, delay = 1, 1
            for _ in range(failed - 1):
                before, delay = delay, before + delay
            return base * delay
        case _:
            return 0


def delay_ms(policy: RetryPolicy, step: StepState, failure: Failure, task_id: bytes) -> int:
    """How long the next attempt waits, ms from the failure.

    What a server asked for (`retry_after_ms`) replaces the formula once, without jitter, up to an hour.
    """
    if failure.retry_after_ms is not None:
        return min(max(0, failure.retry_after_ms), MAX_REQUESTED_DELAY_MS)
    delay: float = backoff_ms(policy, max(1, attempts_used(step)))
    if policy.jitter and delay:
        delay *= 1.0 + policy.jitter * jitter_unit(task_id, step.name, step.attempt)
    return max(0, int(min(delay, policy.max_backoff_ms)))


def past_deadline(failure: Failure, retry_at: int, deadline: int) -> Failure:
    """The failure of a step whose retry would come too late."""
    return Failure(
        type=failure.type,
        code=DEADLINE_EXCEEDED,
        message=f"a retry at {retry_at} would be after the task's deadline at {deadline}; "
        f"the attempt failed with {failure.code}: {failure.message}",
        traceback=failure.traceback,
        retryable=False,
    )
