"""A breaker opens after failures in a row, tries one delivery after its pause, and believes no old news."""

from __future__ import annotations

from tasker_kafka.handlers.delivery.breaker import BreakerState, CircuitBreaker, Ticket


def opened(at: int = 0) -> CircuitBreaker:
    """A breaker of 2 failures and 10 s that has just opened."""
    breaker = CircuitBreaker(2, 10)
    for _ in range(2):
        breaker.failed(ticket(breaker, at), at)
    assert breaker.state(at) is BreakerState.OPEN
    return breaker


def ticket(breaker: CircuitBreaker, now: int) -> Ticket:
    found = breaker.admit(now)
    assert found is not None
    return found


def test_a_success_between_begins_the_row_anew() -> None:
    breaker = CircuitBreaker(2, 10)
    for _ in range(5):
        breaker.failed(ticket(breaker, 0), 0)
        breaker.succeeded(ticket(breaker, 0))
    assert breaker.state(0) is BreakerState.CLOSED


def test_open_admits_nothing_and_says_until_when() -> None:
    breaker = opened()
    assert breaker.admit(9_999) is None
    assert breaker.retry_at == 10_000
    assert breaker.times_opened == 1


def test_one_is_tried_and_decides() -> None:
    breaker = opened()
    probe = ticket(breaker, 10_000)
    assert breaker.state(10_000) is BreakerState.HALF_OPEN
    assert breaker.admit(10_001) is None
    assert breaker.retry_at is None
    breaker.failed(probe, 10_500)
    assert breaker.admit(20_499) is None
    breaker.succeeded(ticket(breaker, 20_500))
    assert breaker.state(20_500) is BreakerState.CLOSED


def test_a_probe_that_says_nothing_is_followed_by_another() -> None:
    breaker = opened()
    breaker.abandoned(ticket(breaker, 10_000))
    assert breaker.admit(10_000) is not None


def test_deliveries_from_before_it_opened_say_nothing_about_now() -> None:
    breaker = CircuitBreaker(2, 10)
    old = ticket(breaker, 0)
    for _ in range(2):
        breaker.failed(ticket(breaker, 0), 0)
    breaker.succeeded(old)
    assert breaker.state(5_000) is BreakerState.OPEN
    probe = ticket(breaker, 10_000)
    breaker.failed(old, 10_000)
    breaker.abandoned(old)
    assert breaker.admit(10_000) is None, "the probe still runs"
    breaker.succeeded(probe)
    assert breaker.state(10_000) is BreakerState.CLOSED


def test_without_a_number_of_failures_it_never_opens() -> None:
    breaker = CircuitBreaker(0, 10)
    for _ in range(100):
        breaker.failed(ticket(breaker, 0), 0)
    assert breaker.state(0) is BreakerState.CLOSED
