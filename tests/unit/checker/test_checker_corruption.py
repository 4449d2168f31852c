"""Every kind of damage to a good log is reported under the right invariant, wherever it is done."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.checker import Report, check

from .bench import Bench
from .history_damage import HISTORY
from .outside_damage import OUTSIDE
from .story import good_log
from .table_damage import TABLE

DAMAGE = HISTORY | TABLE | OUTSIDE
LOGS = 3
PLACES = range(2)


def damaged(damage: Callable[[Bench], None], seed: int) -> Report:
    """The verdict on a log that was damaged in a place that the seed names."""
    for attempt in range(LOGS):
        bench = Bench(*good_log((seed + attempt) % LOGS), seed)
        try:
            damage(bench)
        except LookupError:
            continue
        return check(bench.raw, bench.ledger, settled=True)
    raise AssertionError(f"no log has a place for {damage.__name__}")


@pytest.mark.parametrize("log", range(LOGS))
def test_the_good_logs_are_good(log: int) -> None:
    report = check(*good_log(log), settled=True)
    assert not report.violations, str(report)


@pytest.mark.slow
@pytest.mark.parametrize("seed", PLACES)
@pytest.mark.parametrize("damage", DAMAGE, ids=lambda damage: damage.__name__)
def test_damage_is_reported(damage: Callable[[Bench], None], seed: int) -> None:
    report = damaged(damage, seed)
    assert DAMAGE[damage] in {each.invariant for each in report.violations}, str(report)


def test_there_are_enough_kinds() -> None:
    assert len(DAMAGE) >= 25
    assert set(DAMAGE.values()) >= {"I1", "I2", "I3", "I4", "I5", "I6", "I7", "I8", "I9", "I12", "I14", "I15"}
