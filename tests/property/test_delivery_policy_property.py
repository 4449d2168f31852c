"""However often what fails: attempts are bounded, nothing is early, every failure has a verdict, names round trip."""

from __future__ import annotations

import math

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from tasker_kafka.handlers.delivery.breaker import BreakerState, CircuitBreaker
from tasker_kafka.handlers.delivery.dedup import RecentIds
from tasker_kafka.handlers.delivery.failures import DeliveryFailure
from tasker_kafka.handlers.delivery.journey import FailureClass, Journey
from tasker_kafka.handlers.delivery.policy import (
    MAX_DELAY_SECONDS,
    REDRIVE_TIER,
    DeliveryPolicy,
    delay_ms,
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
    is_expired,
)
from tasker_kafka.topics.names import checked_name

NOW = 1_790_000_000_000
DELAY = st.floats(0, MAX_DELAY_SECONDS)
POLICY = st.builds(
    DeliveryPolicy,
    max_attempts=st.integers(1, 100),
    delays=st.lists(DELAY, max_size=5).map(tuple),
    in_place_seconds=DELAY,
    max_age_seconds=st.none() | st.floats(0.001, 1e6),
    dlq_enabled=st.booleans(),
)
FAILURE = st.builds(
    DeliveryFailure,
    failure_class=st.sampled_from(FailureClass),
    error_type=st.text(max_size=5),
    message=st.text(max_size=5),
    is_retryable=st.booleans(),
    retry_after_seconds=st.none() | st.floats(),
)
FIRED = st.none() | st.integers(NOW - 10**9, NOW)


def journey(**fields: int) -> Journey:
    """A journey at its beginning."""
    start = Journey(group="g", subscription="s", topic="t", partition=0, offset=7, timestamp=NOW)
    return msgspec.structs.replace(start, **fields)


@given(POLICY, FAILURE, FIRED, st.integers(0, 200), st.integers(0, 3))
def test_every_failure_has_a_verdict_and_no_retry_is_early(
    policy: DeliveryPolicy, failure: DeliveryFailure, fired: int | None, attempts: int, redrives: int
) -> None:
    begin = journey(attempts=attempts, redrive_count=redrives)
    after, verdict = after_failure(policy, begin, failure, NOW, fired_at_ms=fired)
    assert after.attempts - attempts in (0, 1)
    assert (after.last_failed_at, after.first_failed_at) == (NOW, NOW)
    assert (after.offset, after.redrive_count, after.group) == (7, redrives, "g")
    match verdict:
        case RetryInPlace(due_at) | Park(_, due_at):
            assert failure.is_retryable
            assert failure.failure_class in {FailureClass.HANDLER, FailureClass.TIMEOUT}
            assert after.attempts < policy.max_attempts
            assert after.due_at == due_at >= NOW
            asked = failure.retry_after_seconds
            if asked is not None and not math.isnan(asked):
                wanted = min(max(0.0, asked), 3_600.0)
            else:
                wanted = _delay(policy, after.attempts)
            assert due_at >= NOW + wanted * 1_000 - 0.001
            assert due_at < NOW + wanted * 1_000 + 1
            in_place = due_at - NOW <= delay_ms(policy.in_place_seconds)
            assert in_place == isinstance(verdict, RetryInPlace)
            assert not is_expired(policy, after, due_at, fired_at_ms=fired)
        case DeadLetter(kind):
            assert policy.dlq_enabled
            assert kind is after.failure_class
            assert after.due_at == 0
        case StopLane(kind):
            assert not policy.dlq_enabled
            assert kind is after.failure_class


def _delay(policy: DeliveryPolicy, failed: int) -> float:
    if not policy.delays:
        return 0.0
    return policy.delays[min(max(failed, 1), len(policy.delays)) - 1]


@given(POLICY, st.lists(FAILURE, min_size=100, max_size=100))
def test_deliveries_are_bounded(policy: DeliveryPolicy, failures: list[DeliveryFailure]) -> None:
    """However the handler fails: at most `max_attempts` deliveries, each due after the one before."""
    at, deliveries = journey(), 0
    now = NOW
    verdict: Verdict | None = None
    for failure in failures:
        failed = msgspec.structs.replace(failure, failure_class=FailureClass.HANDLER)
        deliveries += 1
        at, verdict = after_failure(policy, at, failed, now)
        if isinstance(verdict, DeadLetter | StopLane):
            break
        assert at.due_at >= now
        now = at.due_at
    assert at.attempts == deliveries <= policy.max_attempts
    assert isinstance(verdict, DeadLetter | StopLane)


@given(POLICY, FAILURE, st.integers(0, 99))
def test_parked_deliveries_lie_in_a_tier_that_the_group_has(
    policy: DeliveryPolicy, failure: DeliveryFailure, attempts: int
) -> None:
    tiers = {tier.name for tier in tiers_of([policy])} | {REDRIVE_TIER}
    _, verdict = after_failure(policy, journey(attempts=attempts), failure, NOW)
    if isinstance(verdict, Park):
        assert verdict.tier in tiers
        asked = failure.retry_after_seconds
        if asked is None or math.isnan(asked):
            assert tier_seconds(verdict.tier) == (verdict.due_at - NOW) / 1_000


@given(POLICY, FIRED, st.integers(NOW - 10**9, NOW + 10**9), st.booleans(), st.integers(0, 2))
def test_what_is_too_old_is_not_delivered(
    policy: DeliveryPolicy, fired: int | None, now: int, waited: bool, attempts: int
) -> None:
    found = before_delivery(policy, journey(attempts=attempts), now, fired_at_ms=fired, waited_for_key=waited)
    assert (found is not None) == is_expired(policy, journey(), now, fired_at_ms=fired)
    if found is not None:
        after, verdict = found
        blocked = waited and attempts == 0
        assert after.failure_class is (FailureClass.BLOCKED_BY_KEY if blocked else FailureClass.EXPIRED)
        assert isinstance(verdict, DeadLetter if policy.dlq_enabled else StopLane)
        assert after.attempts == attempts
    redriven = journey(redrive_count=1)
    assert before_delivery(policy, redriven, now, fired_at_ms=fired) is None


@given(st.floats(0.001, MAX_DELAY_SECONDS * 100))
def test_names_of_tiers_round_trip(seconds: float) -> None:
    name = tier_name(seconds)
    assert checked_name("delay", name) == name
    said = tier_seconds(name)
    assert said is not None
    assert delay_ms(said) == delay_ms(seconds)
    assert 0 <= delay_ms(said) - seconds * 1_000 + 0.001 < 1.002
    assert tier_name(said) == name


@given(st.lists(POLICY, max_size=4))
def test_tiers_are_distinct_and_in_order(policies: list[DeliveryPolicy]) -> None:
    tiers = tiers_of(policies)
    assert [each.seconds for each in tiers] == sorted({each.seconds for each in tiers})
    assert len({each.name for each in tiers}) == len(tiers)
    assert REDRIVE_TIER not in {each.name for each in tiers}


@given(
    st.integers(1, 4),
    st.lists(st.tuples(st.sampled_from(["admit", "ok", "fail", "drop"]), st.integers(0, 400)), max_size=80),
)
def test_a_breaker_never_admits_while_open_and_tries_one_at_a_time(
    failures: int, acts: list[tuple[str, int]]
) -> None:
    breaker, now, running = CircuitBreaker(failures, 1.0), 0, list[int]()
    opened_at = -1_000
    for act, passed in acts:
        now += passed
        state = breaker.state(now)
        times = breaker.times_opened
        if act == "admit":
            ticket = breaker.admit(now)
            if state is BreakerState.OPEN:
                assert ticket is None
                assert now < opened_at + 1_000
            if ticket is not None:
                running.append(ticket)
            if state is BreakerState.HALF_OPEN:
                assert breaker.admit(now) is None
        elif running:
            ticket = running.pop(0)
            if act == "ok":
                breaker.succeeded(ticket)
            elif act == "fail":
                breaker.failed(ticket, now)
            else:
                breaker.abandoned(ticket)
        if breaker.times_opened > times:
            opened_at = now
            assert breaker.retry_at == now + 1_000
    while running:
        breaker.abandoned(running.pop())
    assert breaker.admit(now + 10_000) is not None


@given(st.integers(0, 5), st.lists(st.tuples(st.integers(0, 8), st.integers(0, 700)), max_size=60))
def test_recent_ids_remember_the_newest_and_no_more(capacity: int, added: list[tuple[int, int]]) -> None:
    ids, now = RecentIds(capacity, 1.0), 0
    newest: dict[int, int] = {}
    for id_, passed in added:
        now += passed
        ids.add(id_, now)
        newest.pop(id_, None)
        newest[id_] = now
        assert len(ids) <= capacity
    kept = list(newest)[-capacity:] if capacity else []
    for id_ in range(9):
        assert ids.is_recent(id_, now) == (id_ in kept and now - newest[id_] < 1_000)
