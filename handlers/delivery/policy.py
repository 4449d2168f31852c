"""How failed deliveries are treated, and the retry topics that follow: plain values, so every case can be tabled.

A delay is a number of whole milliseconds, rounded up: a delivery may be late, never early. What a failure leads
to is decided in `handlers.delivery.verdicts`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from typing import Final, NamedTuple

import msgspec

from tasker_kafka.schemas.errors import ConfigurationError
from tasker_kafka.schemas.limits import RETRY_AFTER_SECONDS

__all__ = [
    "MAX_ATTEMPTS",
    "MAX_DELAY_SECONDS",
    "REDRIVE_TIER",
    "DeliveryPolicy",
    "Tier",
    "delay_ms",
    "retry_delay_ms",
    "tier_for",
    "tier_name",
    "tier_seconds",
    "tiers_of",
]

MAX_ATTEMPTS: Final = 100
"""As the setting `events.durable.max_delivery_attempts`."""
MAX_DELAY_SECONDS: Final = 86_400.0
"""A retry topic keeps its records for days; a delay must end well within them."""
REDRIVE_TIER: Final = "redrive"
"""The retry topic that every group has: redriven events, and delays for which the group has no tier."""

_UNITS: Final = (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1))
_NAME: Final = re.compile(r"([1-9][0-9]{0,11})(ms|s|m|h|d)")


class Tier(NamedTuple):
    """A retry topic of a group: its name's last part, and the delay that it is for."""

    name: str
    seconds: float


class DeliveryPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """How a subscription's failed deliveries are treated. Times are in seconds.

    ConfigurationError when a field is out of its range.
    """

    max_attempts: int = 3
    """Deliveries in all before the dead letter queue, 1 to 100; the first counts."""
    delays: tuple[float, ...] = (1.0, 30.0, 300.0)
    """Before the second, third, … delivery; the last one repeats. Empty: none waits."""
    in_place_seconds: float = 2.0
    """Delays up to this are waited out in memory; longer ones go through a retry topic and survive a crash."""
    timeout_seconds: float = 30.0
    """What one delivery may take."""
    max_age_seconds: float | None = None
    """Since the event was fired; older ones are dead letters (`expired`). None: no limit. A redriven event has none."""
    dlq_enabled: bool = True
    """False: after the last attempt the lane stops and alerts, and nothing is skipped."""
    breaker_failures: int = 5
    """Failures in a row of a subscription that open its circuit breaker. 0: never."""
    breaker_seconds: float = 30.0
    """How long an open breaker delays deliveries; then one is tried."""

    def __post_init__(self) -> None:
        _refuse(not 1 <= self.max_attempts <= MAX_ATTEMPTS, "max_attempts", f"1 to {MAX_ATTEMPTS}")
        longest = f"0 to {MAX_DELAY_SECONDS:,.0f} seconds each"
        _refuse(not all(0 <= delay <= MAX_DELAY_SECONDS for delay in self.delays), "delays", longest)
        _refuse(not 0 <= self.in_place_seconds <= MAX_DELAY_SECONDS, "in_place_seconds", longest)
        _refuse(not 0 < self.timeout_seconds < math.inf, "timeout_seconds", "more than 0")
        age = self.max_age_seconds
        _refuse(age is not None and not 0 < age < math.inf, "max_age_seconds", "more than 0, or None")
        _refuse(self.breaker_failures < 0, "breaker_failures", "0 or more")
        _refuse(not 0 <= self.breaker_seconds <= MAX_DELAY_SECONDS, "breaker_seconds", longest)

    @property
    def delays_ms(self) -> tuple[int, ...]:
        """The delays as whole milliseconds."""
        return tuple(delay_ms(delay) for delay in self.delays)

    @property
    def in_place_ms(self) -> int:
        """The longest delay that is waited out in memory."""
        return delay_ms(self.in_place_seconds)


def delay_ms(seconds: float) -> int:
    """Whole milliseconds, rounded up from the nearest microsecond (2.3 s are 2300 ms, not 2301)."""
    return math.ceil(round(seconds * 1_000, 3))


def retry_delay_ms(policy: DeliveryPolicy, failed: int, retry_after_seconds: float | None = None) -> int:
    """How long the delivery after the `failed`-th failed one waits, ms.

    What the handler asked for (`retry_after_seconds`) replaces the policy's delay once, up to an hour.
    """
    if retry_after_seconds is not None and not math.isnan(retry_after_seconds):
        return delay_ms(min(max(0.0, retry_after_seconds), float(RETRY_AFTER_SECONDS.maximum)))
    delays = policy.delays
    return delay_ms(delays[min(max(failed, 1), len(delays)) - 1]) if delays else 0


def tier_name(seconds: float) -> str:
    """The name of the tier for this delay, in its largest whole unit: `30s`, `5m`, `1500ms`.

    ValueError for a delay of less than a millisecond, which needs no tier.
    """
    whole = delay_ms(seconds)
    if whole < 1:
        raise ValueError(f"a delay of {seconds} s needs no retry topic")
    unit, size = next((unit, size) for unit, size in _UNITS if whole % size == 0)
    return f"{whole // size}{unit}"


def tier_seconds(name: str) -> float | None:
    """The delay that a tier's name says; None for one that names no delay, as `redrive`."""
    found = _NAME.fullmatch(name)
    return None if found is None else int(found[1]) * dict(_UNITS)[found[2]] / 1_000


def tiers_of(policies: Iterable[DeliveryPolicy]) -> tuple[Tier, ...]:
    """The tiers that these policies need, shortest first: one for each delay that can occur and is not in place."""
    found = {
        delay
        for policy in policies
        for delay in policy.delays_ms[: policy.max_attempts - 1]
        if delay > policy.in_place_ms
    }
    return tuple(Tier(tier_name(delay / 1_000), delay / 1_000) for delay in sorted(found))


def tier_for(policy: DeliveryPolicy, wait_ms: int) -> str | None:
    """The tier through which a delivery waits that long; None: it waits in memory.

    A delay that the policy does not name (a handler asked for it) takes the longest tier that is not longer, else
    the shortest, else `redrive`: a tier is only where the record lies, its due time travels with it.
    """
    if wait_ms <= policy.in_place_ms:
        return None
    tiers = tiers_of((policy,))
    if not tiers:
        return REDRIVE_TIER
    fitting = [tier for tier in tiers if delay_ms(tier.seconds) <= wait_ms]
    return (fitting[-1] if fitting else tiers[0]).name


def _refuse(is_wrong: bool, field: str, range_: str) -> None:
    if is_wrong:
        raise ConfigurationError(
            f"DeliveryPolicy.{field} is out of its range", next_step=f"use {range_} for {field}"
        )
