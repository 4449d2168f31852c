"""A handler may ask for any delay; what is no delay is no reason for its attempt to end in another error."""

from __future__ import annotations

import math
from typing import Any

import pytest

from tasker_kafka.handlers import RetryableError
from tasker_kafka.handlers.failures import end_of_error


@pytest.mark.parametrize(
    ("asked", "expected"),
    [(None, None), (1.5, 1_500), (0, 0), (-3, 0), (math.inf, 3_600_000), (math.nan, None), ("soon", None)],
)
def test_a_requested_delay_is_capped_and_never_an_error(asked: Any, expected: int | None) -> None:
    assert end_of_error(RetryableError("busy", retry_after=asked)).failure.retry_after_ms == expected
