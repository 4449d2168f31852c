"""How the knee is looked for, and what a stretch of arrivals says."""

from __future__ import annotations

from itertools import pairwise
from random import Random

import pytest

from tests.bench.knee import KneeSearch, arrivals_of, overload_of, schedule


def search(
    first: float, capacity: float, *, growth: float = 1.35, precision: float = 1.1
) -> tuple[KneeSearch, int]:
    """A search in a system that holds up to `capacity`, and how many rates it tried."""
    found, tried = KneeSearch(first, growth=growth, precision=precision), 0
    while (rate := found.next_rate()) is not None:
        found.note(rate, holds=rate <= capacity)
        tried += 1
    return found, tried


@pytest.mark.parametrize("first", [50.0, 500.0, 999.0, 1001.0, 20_000.0])
def test_the_knee_is_found_from_below_and_from_above(first: float) -> None:
    found, tried = search(first, 1000.0)
    assert found.knee is not None
    assert 1000 / 1.1 <= found.knee <= 1000
    assert tried <= 16


def test_a_coarse_search_is_a_short_one() -> None:
    assert search(500.0, 1000.0, growth=1.8, precision=1.8)[1] == 3


def test_where_nothing_holds_there_is_no_knee() -> None:
    assert search(100.0, 0.5)[0].knee is None


def test_a_lucky_rate_above_one_that_failed_is_not_believed() -> None:
    found = KneeSearch(100.0, growth=1.5, precision=1.1)
    found.note(200.0, holds=False)
    found.note(300.0, holds=True)
    assert found.knee is None
    assert found.next_rate() == pytest.approx(200 / 1.5)


@pytest.mark.parametrize("wrong", [(0.0, 1.5, 1.1), (1.0, 1.0, 1.1), (1.0, 1.5, 1.0)])
def test_a_search_that_could_not_end_is_refused(wrong: tuple[float, float, float]) -> None:
    with pytest.raises(ValueError, match="not above"):
        KneeSearch(wrong[0], growth=wrong[1], precision=wrong[2])


def test_arrivals_are_as_many_as_asked_for_and_independent() -> None:
    times = schedule(1000, 10, Random(1))
    gaps = [later - earlier for earlier, later in pairwise(times)]
    assert len(times) == pytest.approx(10_000, rel=0.05)
    assert times == sorted(times)
    assert times[-1] < 10
    assert sum(gap < 0.001 for gap in gaps) / len(gaps) == pytest.approx(0.632, abs=0.03)
    assert times == schedule(1000, 10, Random(1))


def test_latency_counts_from_when_a_task_was_due() -> None:
    due = {bytes([number]): 100.0 * number for number in range(10)}
    closed = {task: at + 20 for task, at in due.items()} | {b"\x09": 1400.0}
    found = arrivals_of(due, closed, seconds=1.0, bound_ms=400, sender_late_ms=3, cpu_ms_per_step=0.1)
    assert (found.p50_ms, found.p99_ms, found.backlog) == (20, 500, 1)
    assert (found.offered, found.closed, found.holds) == (10, 9, False)
    again = arrivals_of(due, closed, seconds=1.0, bound_ms=500, sender_late_ms=3, cpu_ms_per_step=0.1)
    assert again.holds


def queue(rate: float, overload: float, calm: float) -> tuple[dict[bytes, float], dict[bytes, float]]:
    """Ten seconds at `overload` and thirty at `calm` tasks per second, served in order at `rate`."""
    times = [number / overload for number in range(int(10 * overload))]
    times += [10 + number / calm for number in range(int(30 * calm))]
    free, due, closed = 0.0, dict[bytes, float](), dict[bytes, float]()
    for number, at in enumerate(times):
        free = max(free, at) + 1 / rate
        due[number.to_bytes(4)], closed[number.to_bytes(4)] = 1000 * at, 1000 * free
    return due, closed


def test_a_system_that_keeps_its_pace_recovers_when_the_backlog_is_gone() -> None:
    found = overload_of(*queue(100, 200, 50), seconds=10, bound_ms=250, quiet_seconds=3)
    assert found.offered == pytest.approx(200, rel=0.01)
    assert found.closed == pytest.approx(100, rel=0.01)
    assert found.backlog == pytest.approx(1000, rel=0.01)
    assert found.worst_ms == pytest.approx(10_000, rel=0.01)
    assert found.drained_seconds == pytest.approx(19.5, abs=0.5)
    assert found.p99_after_ms is not None
    assert found.p99_after_ms <= 250


def test_a_system_that_does_not_recover_is_said_so() -> None:
    found = overload_of(*queue(100, 200, 95), seconds=10, bound_ms=250, quiet_seconds=3)
    assert (found.drained_seconds, found.p99_after_ms) == (None, None)


def test_one_slow_task_of_a_hundred_does_not_undo_a_recovery() -> None:
    due, closed = queue(100, 200, 50)
    last = max(due, key=lambda task: due[task])
    closed[(int.from_bytes(last) - 60).to_bytes(4)] += 5000
    found = overload_of(due, closed, seconds=10, bound_ms=250, quiet_seconds=3)
    assert found.drained_seconds is not None
    assert found.drained_seconds < 25
