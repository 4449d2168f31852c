"""What follows from which failure, case by case; and that failures say what happened without saying secrets."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from pydantic import BaseModel, ValidationError

from tasker_kafka.handlers import PermanentError, RetryableError
from tasker_kafka.handlers.delivery.failures import (
    DeliveryFailure,
    failure_of,
    failure_of_end,
    misfit,
    timed_out,
    undecodable,
)
from tasker_kafka.handlers.delivery.journey import FailureClass, Journey
from tasker_kafka.handlers.delivery.policy import (
    REDRIVE_TIER,
    DeliveryPolicy,
    Tier,
    tier_for,
    tier_name,
    tier_seconds,
    tiers_of,
)
from tasker_kafka.handlers.delivery.verdicts import (
    DeadLetter,
    Park,
    RetryInPlace,
    StopLane,
    Verdict,
    after_failure,
    before_delivery,
)
from tasker_kafka.schemas.errors import ConfigurationError, DecodeError
from tasker_kafka.schemas.records import Failure

NOW = 1_790_000_000_000
START = Journey(group="g", subscription="s", topic="t", partition=0, offset=7, timestamp=NOW)
POLICY = DeliveryPolicy()
BROKEN = failure_of(ValueError("broken"))


class Money(BaseModel):
    """A payload's model."""

    amount: int
    currency: str


def verdict_of(failure: DeliveryFailure, policy: DeliveryPolicy = POLICY, attempts: int = 0) -> Verdict:
    return after_failure(policy, msgspec.structs.replace(START, attempts=attempts), failure, NOW)[1]


def test_the_default_policy_step_by_step() -> None:
    assert verdict_of(BROKEN) == RetryInPlace(NOW + 1_000)
    assert verdict_of(BROKEN, attempts=1) == Park("30s", NOW + 30_000)
    assert verdict_of(BROKEN, attempts=2) == DeadLetter(FailureClass.HANDLER)


@pytest.mark.parametrize(
    ("failure", "expected"),
    [
        (failure_of(PermanentError("no")), DeadLetter(FailureClass.HANDLER)),
        (failure_of(RetryableError("later", retry_after=90)), Park("30s", NOW + 90_000)),
        (failure_of(RetryableError("soon", retry_after=2)), RetryInPlace(NOW + 2_000)),
        (failure_of(RetryableError("far", retry_after=1e9)), Park("30s", NOW + 3_600_000)),
        (failure_of(RetryableError("now", retry_after=-1)), RetryInPlace(NOW)),
        (failure_of(RetryableError("odd", retry_after=float("nan"))), RetryInPlace(NOW + 1_000)),
        (failure_of(SystemExit(1)), RetryInPlace(NOW + 1_000)),
        (timed_out(30), RetryInPlace(NOW + 1_000)),
        (undecodable(DecodeError("bytes")), DeadLetter(FailureClass.DECODE)),
        (misfit(TypeError("no model")), DeadLetter(FailureClass.SCHEMA)),
    ],
    ids=lambda each: type(each).__name__ if isinstance(each, DeliveryFailure) else str(each),
)
def test_error_classes_choose_retry_or_dead_letter(failure: DeliveryFailure, expected: Verdict) -> None:
    assert verdict_of(failure) == expected


def test_without_a_dead_letter_queue_the_lane_stops() -> None:
    policy = DeliveryPolicy(dlq_enabled=False)
    assert verdict_of(BROKEN, policy, attempts=2) == StopLane(FailureClass.HANDLER)
    assert verdict_of(undecodable(DecodeError("x")), policy) == StopLane(FailureClass.DECODE)


def test_only_deliveries_count_as_attempts() -> None:
    assert after_failure(POLICY, START, BROKEN, NOW)[0].attempts == 1
    assert after_failure(POLICY, START, timed_out(1), NOW)[0].attempts == 1
    assert after_failure(POLICY, START, misfit(TypeError("x")), NOW)[0].attempts == 0


def test_the_journey_keeps_first_and_last_failure() -> None:
    first, _ = after_failure(POLICY, START, BROKEN, NOW)
    last, _ = after_failure(POLICY, first, timed_out(30), NOW + 5)
    assert (last.first_failed_at, last.last_failed_at) == (NOW, NOW + 5)
    assert (last.failure_class, last.error_type) == (FailureClass.TIMEOUT, "TimeoutError")
    assert last.message == "the handler did not end within 30 s"
    assert first.stack is not None
    assert "ValueError: broken" in first.stack


def test_a_retry_that_would_come_too_late_is_expired_at_once_and_names_its_failure() -> None:
    policy = DeliveryPolicy(max_age_seconds=20, delays=(30,), max_attempts=9)
    after, verdict = after_failure(policy, START, BROKEN, NOW, fired_at_ms=NOW)
    assert verdict == DeadLetter(FailureClass.EXPIRED)
    assert after.message == (
        "its next delivery would be 10 s after its age limit; the last one failed with ValueError: broken"
    )
    assert after.attempts == 1
    assert isinstance(after_failure(policy, START, BROKEN, NOW, fired_at_ms=None)[1], Park)


def test_too_old_behind_its_key_is_another_class_than_too_old() -> None:
    policy = DeliveryPolicy(max_age_seconds=10)
    late = NOW + 10_001
    assert before_delivery(policy, START, NOW + 10_000, fired_at_ms=NOW) is None
    for waited, attempts, kind in [
        (False, 0, FailureClass.EXPIRED),
        (True, 0, FailureClass.BLOCKED_BY_KEY),
        (True, 1, FailureClass.EXPIRED),
    ]:
        at = msgspec.structs.replace(START, attempts=attempts)
        found = before_delivery(policy, at, late, fired_at_ms=NOW, waited_for_key=waited)
        assert found is not None
        assert found[1] == DeadLetter(kind)


# ------------------------------------------------------------------------------------------- failures


def test_a_misfit_names_paths_and_no_values() -> None:
    with pytest.raises(ValidationError) as caught:
        Money.model_validate({"amount": "card 4111111111111111"})
    found = misfit(caught.value)
    assert found.message.startswith("amount: Input should be a valid integer")
    assert "currency: Field required" in found.message
    assert "4111" not in found.message


def test_texts_are_redacted_and_bounded() -> None:
    found = failure_of(ValueError("password=hunter2 " + "x" * 100_000))
    assert "hunter2" not in found.message + found.stack
    assert len(found.message.encode()) <= 2 * 1024
    assert len(found.stack.encode()) <= 8 * 1024


def test_a_failure_from_a_child_process_keeps_what_it_said() -> None:
    said = Failure(type="E", code="e", message="m", traceback="t", retryable=False, retry_after_ms=1_500)
    found = failure_of_end(said)
    assert (found.is_retryable, found.retry_after_seconds, found.error_type) == (False, 1.5, "E")
    assert failure_of_end(msgspec.structs.replace(said, retry_after_ms=None)).retry_after_seconds is None


def test_only_what_may_be_an_outage_counts_for_the_breaker() -> None:
    assert BROKEN.is_outage_sign
    assert timed_out(1).is_outage_sign
    assert not failure_of(PermanentError("this event")).is_outage_sign
    assert not misfit(TypeError("x")).is_outage_sign


# ------------------------------------------------------------------------------------------- tiers


def test_tiers_are_named_by_their_largest_whole_unit() -> None:
    names = [tier_name(each) for each in (0.001, 1.5, 30, 90, 300, 3_600, 5_400, 86_400)]
    assert names == ["1ms", "1500ms", "30s", "90s", "5m", "1h", "90m", "1d"]
    assert [tier_seconds(each) for each in ("redrive", "0s", "30", "30S", "-1s", "1w")] == [None] * 6
    with pytest.raises(ValueError, match="needs no retry topic"):
        tier_name(0)


def test_a_group_has_the_tiers_of_all_its_policies_and_none_that_cannot_occur() -> None:
    slow = DeliveryPolicy(max_attempts=4, delays=(60, 300))
    assert tiers_of([POLICY]) == (Tier("30s", 30.0),)  # the third delay is for a fourth delivery
    assert tiers_of([POLICY, slow]) == (Tier("30s", 30.0), Tier("1m", 60.0), Tier("5m", 300.0))
    assert tiers_of([DeliveryPolicy(max_attempts=1), DeliveryPolicy(delays=())]) == ()


def test_a_delay_without_a_tier_of_its_own_takes_one_that_is_there() -> None:
    policy = DeliveryPolicy(max_attempts=4, delays=(60, 300))
    waits = (2_000, 2_001, 60_000, 299_999, 300_000, 900_000)
    assert [tier_for(policy, each) for each in waits] == [None, "1m", "1m", "1m", "5m", "5m"]
    assert tier_for(DeliveryPolicy(delays=(1,)), 5_000) == REDRIVE_TIER


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"max_attempts": 0}, "max_attempts"),
        ({"max_attempts": 101}, "max_attempts"),
        ({"delays": (1.0, -1.0)}, "delays"),
        ({"delays": (float("nan"),)}, "delays"),
        ({"delays": (86_401.0,)}, "delays"),
        ({"in_place_seconds": -1.0}, "in_place_seconds"),
        ({"timeout_seconds": 0.0}, "timeout_seconds"),
        ({"timeout_seconds": float("inf")}, "timeout_seconds"),
        ({"max_age_seconds": 0.0}, "max_age_seconds"),
        ({"breaker_failures": -1}, "breaker_failures"),
        ({"breaker_seconds": float("nan")}, "breaker_seconds"),
    ],
)
def test_a_policy_out_of_range_names_its_field(fields: dict[str, Any], named: str) -> None:
    with pytest.raises(ConfigurationError, match=rf"DeliveryPolicy\.{named}") as caught:
        DeliveryPolicy(**fields)
    assert caught.value.next_step is not None
