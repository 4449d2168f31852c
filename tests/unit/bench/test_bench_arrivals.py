"""What is printed of arrivals."""

from __future__ import annotations

import json
from typing import Any

from tests.bench.arrivals import ArrivalPlan, Found, knee_json, knee_text
from tests.bench.knee import Arrivals, Overload

TRIED = Arrivals(
    offered=500.4,
    closed=499.0,
    p50_ms=20.0,
    p95_ms=40.0,
    p99_ms=90.0,
    backlog=12,
    sender_late_ms=3.0,
    cpu_ms_per_step=0.2,
    holds=True,
)
OVERLOAD = Overload(
    offered=1000.0, closed=480.0, backlog=5_200, worst_ms=10_400.0, drained_seconds=21.5, p99_after_ms=120.0
)


def found(**changed: Any) -> Found:
    values: dict[str, Any] = {
        "shape": "chain-5",
        "steps_per_task": 5,
        "wanted": ArrivalPlan(),
        "tried": [TRIED],
        "knee": 500.0,
        "overload": OVERLOAD,
    }
    return Found(**values | changed)


def test_every_stretch_is_a_row_and_the_overload_is_told() -> None:
    table, _, text = knee_text(found()).partition("\n\n")
    head, rule, row = table.splitlines()
    assert len(head) == len(rule) == len(row)
    assert "2,502" in row
    assert row.rstrip(" |").endswith("yes")
    assert "96% of the knee" in text
    assert "21.5 s after" in text


def test_a_system_that_does_not_come_back_is_told_so() -> None:
    lost = Overload(
        offered=1000.0, closed=80.0, backlog=9_200, worst_ms=90_000.0, drained_seconds=None, p99_after_ms=None
    )
    assert "not back within the bound" in knee_text(found(overload=lost))


def test_without_a_knee_there_is_no_overload_and_no_failure() -> None:
    nothing = found(knee=None, overload=None)
    assert "No knee (chain-5)" in knee_text(nothing)
    assert json.loads(json.dumps(knee_json(nothing)))["overload"] is None
    assert knee_json(found())["knee_steps_per_second"] == 2500.0
