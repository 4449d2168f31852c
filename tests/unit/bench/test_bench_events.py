"""What the notes of subscribers say: keys that fail, retries that wait, tasks beside events in trouble."""

from __future__ import annotations

import pytest

from tasker_kafka.schemas.words import Delivery
from tests.bench.event_harm import FULL, KINDS, NONE, Look, compared, plan_of
from tests.bench.event_keys import Stretch, found_in
from tests.bench.event_retries import late_retries
from tests.bench.events import SECTIONS, main
from tests.bench.figures import Spread
from tests.bench.subscribers import DEAD, HEARD, SLOW, Note

CALM = Stretch(is_failing=False, first=1, last=4, cpu_seconds=0.004, own=frozenset({1, 4}))
FAILING = Stretch(is_failing=True, first=5, last=9, cpu_seconds=0.01, own=frozenset({5, 7, 9}))
CALM_NOTES: list[Note] = [(1, 1, 0, 1), (2, 1, 0, 10), (3, 1, 0, 20), (4, 1, 0, 30)]
FAILING_NOTES: list[Note] = [
    (5, 1, 100, 101),
    (6, 1, 100, 111),
    (8, 1, 100, 122),
    (5, 2, 100, 1_101),
    (5, 3, 100, 31_101),
    (7, 1, 100, 31_102),
    (9, 1, 31_200, 31_201),
]


def test_a_failing_key_is_left_out_of_the_latencies_of_the_others() -> None:
    found = found_in([CALM, FAILING], [*CALM_NOTES, *FAILING_NOTES], 9)
    assert (found.calm_ms, found.failing_ms) == (Spread(10, 20, 20), Spread(11, 22, 22))
    assert found.change == pytest.approx(0.1)
    assert [each.cpu_ms for each in found.rows] == pytest.approx([1.0, 2.0])
    assert (found.held_up, found.overtaken, found.lost) == (1, 0, 0)


def test_an_event_that_overtakes_its_key_is_seen_and_one_that_never_came_is_lost() -> None:
    notes = [each for each in FAILING_NOTES if each[0] != 9]
    notes[-1] = (7, 1, 100, 31_100)
    found = found_in([CALM, FAILING], [*CALM_NOTES, *notes], 9)
    assert (found.overtaken, found.lost) == (1, 1)


def test_a_retry_is_late_by_its_due_time() -> None:
    notes: list[Note] = [(1, 1, 0, 5), (2, 1, 0, 6), (1, 2, 0, 10_030), (2, 2, 0, 12_040), (9, 2, 0, 1)]
    found = late_retries({1: 10_000, 2: 12_000, 3: 13_000}, notes, 3)
    assert found.late_ms == Spread(30, 40, 40)
    assert (found.retries, found.per_second, found.early, found.missing) == (2, 0.5, 0, 1)


def test_a_retry_before_its_time_is_early() -> None:
    assert late_retries({1: 10_000}, [(1, 2, 0, 9_999.9)], 1).early == 1


def test_without_retries_there_is_no_figure() -> None:
    with pytest.raises(AssertionError, match="nothing was retried"):
        late_retries({1: 10}, [(1, 1, 0, 5)], 1)


def test_shares_are_of_the_same_round() -> None:
    def look(rate: float, cpu: float, events: int = 95) -> Look:
        return Look(tasks_per_second=rate, cpu_ms=cpu, worker_cpu_ms=cpu / 2, events=events)

    rounds = [
        {NONE: look(100, 0.1, 0), HEARD: look(80, 0.2), DEAD: look(90, 0.1), SLOW: look(80, 0.1), FULL: look(50, 0.1)},
        {NONE: look(50, 0.2, 0), HEARD: look(50, 0.2), DEAD: look(45, 0.2), SLOW: look(40, 0.3), FULL: look(25, 0.2)},
        {NONE: look(10, 0.1, 0), HEARD: look(5, 0.1), DEAD: look(9, 0.2), SLOW: look(8, 0.1), FULL: look(5, 0.1)},
    ]  # fmt: skip
    rows = {each.kind: each for each in compared(rounds, tasks=100)}
    assert [*rows] == [*KINDS]
    assert (rows[NONE].slower_than_none, rows[NONE].dropped) == (0, 0)
    assert rows[DEAD].slower_than_none == pytest.approx(0.1)
    assert rows[SLOW].slower_than_none == pytest.approx(0.2)
    assert rows[FULL].slower_than_none == pytest.approx(0.5)
    assert rows[SLOW].slower_than_heard == pytest.approx(0.0)
    assert rows[HEARD].more_cpu_than_none == pytest.approx(0.0)
    assert (rows[FULL].events, rows[FULL].dropped) == (285, 15)


@pytest.mark.parametrize("kind", KINDS)
def test_the_kinds_differ_in_their_events_only(kind: str) -> None:
    plan = plan_of(kind)
    assert plan.queues == (kind,)
    events = [each.delivery for step in plan.steps for each in step.publishes_events]
    assert (len(plan.steps), events) == (5, [] if kind == NONE else [Delivery.FIRE_AND_FORGET])


def test_sections_can_be_chosen(capsys: pytest.CaptureFixture[str]) -> None:
    assert [*SECTIONS] == ["rates", "keys", "retries", "harm"]
    with pytest.raises(SystemExit):
        main(["--only", "rates,none"])
    assert "there is no 'none'" in capsys.readouterr().err
