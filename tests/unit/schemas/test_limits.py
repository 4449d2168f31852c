"""Limits: their numbers, their boundaries, their errors, and the inline formula."""

import pytest

from tasker_kafka.schemas import limits
from tasker_kafka.schemas.limits import LIMITS, Limit, LimitExceeded, inline_limit, is_inline

SPECIFIED = {
    "too_many_steps": 1_000,
    "too_many_edges": 5_000,
    "fan_out_too_large": 500,
    "dag_too_deep": 50,
    "name_too_long": 64,
    "too_many_attempts": 100,
    "template_too_large": 1_048_576,
    "template_too_deep": 32,
    "schema_too_deep": 32,
    "context_too_large": 262_144,
    "result_too_large": 262_144,
    "result_with_events_too_large": 614_400,
    "record_too_large": 921_600,
    "json_too_deep": 64,
    "traceback_too_long": 8_192,
    "failure_code_too_long": 256,
    "retry_after_too_long": 3_600,
}


def test_the_specified_limits_are_as_specified() -> None:
    found = {each.error: each.maximum for each in LIMITS}
    assert {name: found[name] for name in SPECIFIED} == SPECIFIED
    assert limits.REJECTION_HEADROOM_BYTES == 65_536


@pytest.mark.parametrize("limit", LIMITS, ids=lambda limit: limit.error)
def test_a_limit_accepts_its_maximum_and_names_what_exceeds_it(limit: Limit) -> None:
    limit.check(limit.maximum - 1)
    limit.check(limit.maximum)
    with pytest.raises(LimitExceeded) as caught:
        limit.check(limit.maximum + 1)
    assert caught.value.code == limit.error
    assert caught.value.actual == limit.maximum + 1
    for part in (limit.error, f"{limit.maximum:,}", f"{limit.maximum + 1:,}", limit.unit, limit.way_out):
        assert part in str(caught.value)


def test_error_names_are_unique() -> None:
    assert len({each.error for each in LIMITS}) == len(LIMITS)


def test_the_message_can_name_the_thing() -> None:
    with pytest.raises(LimitExceeded, match=r"step `a`: 501 direct children, at most 500 are accepted"):
        limits.FAN_OUT.check(501, "step `a`")


@pytest.mark.parametrize(
    ("steps", "expected"),
    [(0, 4096), (1, 4096), (64, 4096), (65, 4032), (100, 2621), (1_000, 262), (4_096, 64), (5_000, 64)],
)
def test_inline_limit_shares_256_kib_between_the_steps(steps: int, expected: int) -> None:
    assert inline_limit(steps) == expected


def test_a_value_of_just_the_limit_is_inline() -> None:
    assert is_inline(b"x" * 63, 64)
    assert is_inline(b"x" * 64, 64)
    assert not is_inline(b"x" * 65, 64)
