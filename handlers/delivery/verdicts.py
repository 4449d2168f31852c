"""What follows from a failed delivery, or from an event that came too late: one pure decision for every case.

| failure | verdict |
|---|---|
| cannot be read, does not fit its model, the handler says it is permanent | dead letter at once |
| anything else, attempts are left | retry: in memory for a short delay, else through a retry topic |
| … but the event will be too old when the delay has passed | dead letter, `expired` |
| … no attempt is left | dead letter |
| dead letter, but the policy has no dead letter queue | the lane stops |

The caller acts: it waits, writes the retry or dead letter record, and finishes the original only when that is
acknowledged.
"""

from __future__ import annotations

from typing import Final

import msgspec

from .failures import DeliveryFailure, expired
from .journey import FailureClass, Journey
from .policy import DeliveryPolicy, delay_ms, retry_delay_ms, tier_for

__all__ = [
    "DeadLetter",
    "Park",
    "RetryInPlace",
    "StopLane",
    "Verdict",
    "after_failure",
    "before_delivery",
    "expires_at",
    "is_blocked_by_key",
    "is_expired",
]

_DELIVERED: Final = frozenset({FailureClass.HANDLER, FailureClass.TIMEOUT})
"""Failures of a delivery; the others happen before or instead of one, and count as no attempt."""


class RetryInPlace(msgspec.Struct, frozen=True):
    """Deliver it again from memory, not before `due_at` (ms since 1970 UTC)."""

    due_at: int


class Park(msgspec.Struct, frozen=True):
    """Write it to the group's retry topic `tier`; deliver it not before `due_at` (ms since 1970 UTC)."""

    tier: str
    due_at: int


class DeadLetter(msgspec.Struct, frozen=True):
    """Write it to the dead letter queue."""

    failure_class: FailureClass


class StopLane(msgspec.Struct, frozen=True):
    """Deliver nothing of its lane any more, and alert: it may be neither retried nor skipped."""

    failure_class: FailureClass


Verdict = RetryInPlace | Park | DeadLetter | StopLane


def after_failure(
    policy: DeliveryPolicy,
    journey: Journey,
    failure: DeliveryFailure,
    now_ms: int,
    *,
    fired_at_ms: int | None = None,
) -> tuple[Journey, Verdict]:
    """The journey with this failure on it, and what to do. Total: any failure of any journey has a verdict.

    `fired_at_ms`: when the event was fired; None when it cannot be known, then its age has no limit.
    """
    is_delivered = failure.failure_class in _DELIVERED
    attempts = journey.attempts + is_delivered
    if not (is_delivered and failure.is_retryable) or attempts >= policy.max_attempts:
        return _dead(policy, journey, failure, attempts, now_ms)
    delay = retry_delay_ms(policy, attempts, failure.retry_after_seconds)
    due_at = now_ms + delay
    end = expires_at(policy, journey, fired_at_ms)
    if end is not None and due_at > end:
        return _dead(policy, journey, expired(end, due_at, after=failure), attempts, now_ms)
    failed = _failed(journey, failure, attempts, now_ms, due_at)
    tier = tier_for(policy, delay)
    return failed, RetryInPlace(due_at) if tier is None else Park(tier, due_at)


def before_delivery(
    policy: DeliveryPolicy,
    journey: Journey,
    now_ms: int,
    *,
    fired_at_ms: int | None,
    waited_for_key: bool = False,
) -> tuple[Journey, Verdict] | None:
    """What to do with an event instead of delivering it; None: deliver it.

    `waited_for_key`: it lay parked behind an earlier event of its key.
    """
    end = expires_at(policy, journey, fired_at_ms)
    if end is None or now_ms <= end:
        return None
    is_blocked = is_blocked_by_key(
        policy, journey, now_ms, fired_at_ms=fired_at_ms, waited_for_key=waited_for_key
    )
    failure = expired(end, now_ms, is_blocked=is_blocked)
    return _dead(policy, journey, failure, journey.attempts, now_ms)


def expires_at(policy: DeliveryPolicy, journey: Journey, fired_at_ms: int | None) -> int | None:
    """The last moment (ms) at which the event may be delivered; None: there is no limit.

    A redriven event has none: a person has looked at it and wants it delivered.
    """
    if policy.max_age_seconds is None or fired_at_ms is None or journey.redrive_count > 0:
        return None
    return fired_at_ms + delay_ms(policy.max_age_seconds)


def is_expired(policy: DeliveryPolicy, journey: Journey, now_ms: int, *, fired_at_ms: int | None) -> bool:
    """Whether the event is too old to be delivered."""
    end = expires_at(policy, journey, fired_at_ms)
    return end is not None and now_ms > end


def is_blocked_by_key(
    policy: DeliveryPolicy,
    journey: Journey,
    now_ms: int,
    *,
    fired_at_ms: int | None,
    waited_for_key: bool,
) -> bool:
    """Whether the event is too old because an earlier one of its key was in its way: it has itself never failed."""
    return (
        waited_for_key
        and journey.attempts == 0
        and is_expired(policy, journey, now_ms, fired_at_ms=fired_at_ms)
    )


def _dead(
    policy: DeliveryPolicy, journey: Journey, failure: DeliveryFailure, attempts: int, now_ms: int
) -> tuple[Journey, Verdict]:
    kind = failure.failure_class
    failed = _failed(journey, failure, attempts, now_ms, due_at=0)
    return failed, DeadLetter(kind) if policy.dlq_enabled else StopLane(kind)


def _failed(journey: Journey, failure: DeliveryFailure, attempts: int, now_ms: int, due_at: int) -> Journey:
    return msgspec.structs.replace(
        journey,
        attempts=attempts,
        due_at=due_at,
        first_failed_at=now_ms if journey.first_failed_at is None else journey.first_failed_at,
        last_failed_at=now_ms,
        failure_class=failure.failure_class,
        error_type=failure.error_type,
        message=failure.message,
        stack=failure.stack,
    )
