"""The arithmetic behind the benchmark's table."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.bench.figures import COLUMNS, Figures, Measured, figures_of, percentile, table


def measured(**changed: Any) -> Measured:
    values: dict[str, Any] = {
        "load": "drained",
        "shape": "chain-5",
        "tasks": 4,
        "steps_per_task": 5,
        "first_ms": 10_000,
        "last_ms": 12_000,
        "latencies_ms": [10.0, 40.0, 20.0, 30.0],
        "cpu_seconds": {"orchestrator": 0.02, "worker": 0.01, "broker": 0.01},
        "waited_seconds": {"orchestrator": 0.02, "worker": 0.02, "broker": 0.0},
        "records": 80,
        "payload_bytes": 14_000,
    }
    return Measured(**values | changed)


@pytest.mark.parametrize(
    ("share", "expected"), [(0.01, 1), (0.5, 50), (0.501, 51), (0.95, 95), (0.99, 99), (1.0, 100)]
)
def test_a_percentile_is_the_smallest_value_that_covers_the_share(share: float, expected: int) -> None:
    assert percentile(reversed(range(1, 101)), share) == expected


def test_a_percentile_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="nothing was measured"):
        percentile([], 0.5)


@pytest.mark.parametrize("share", [0.0, -0.1, 1.01, 50])
def test_a_share_is_no_percentage(share: float) -> None:
    with pytest.raises(ValueError, match="at most 1"):
        percentile([1.0], share)


def test_rates_are_over_the_span_of_the_records() -> None:
    row = figures_of(measured())
    assert (row.tasks_per_second, row.steps_per_second) == (2.0, 10.0)
    assert (row.p50_ms, row.p95_ms, row.p99_ms) == (20.0, 40.0, 40.0)


def test_cpu_and_log_are_per_step() -> None:
    row = figures_of(measured())
    assert row.cpu_ms_per_step == pytest.approx({"orchestrator": 1.0, "worker": 0.5, "broker": 0.5})
    assert (row.records_per_step, row.bytes_per_step) == (4.0, 700.0)


def test_crowding_compares_the_time_wanted_with_the_time_got() -> None:
    assert figures_of(measured()).crowding == pytest.approx(2.0)
    assert figures_of(measured(waited_seconds={"worker": 0.0})).crowding == 1.0
    assert figures_of(measured(cpu_seconds={}, waited_seconds={})).crowding == 1.0


def test_a_span_below_a_millisecond_is_one() -> None:
    assert figures_of(measured(tasks=1, last_ms=10_000)).tasks_per_second == 1000.0


def test_every_row_of_the_table_has_every_column_and_the_same_width() -> None:
    rows = [figures_of(measured()), figures_of(measured(load="one client", client_ms=[1.5, 2.5]))]
    head, rule, first, second = table(rows).splitlines()
    assert {line.count("|") for line in (head, rule, first, second)} == {len(COLUMNS) + 1}
    assert len({len(line) for line in (head, rule, first, second)}) == 1
    assert "1.5 / 2.5" in second
    assert " – " in first, "nobody waited"


def test_a_broker_that_is_not_ours_has_no_cpu_time() -> None:
    row = figures_of(measured(cpu_seconds={"orchestrator": 0.02}))
    cells = [cell.strip() for cell in table([row]).splitlines()[-1].strip("|").split("|")]
    assert cells[COLUMNS.index("broker")] == "–"


def test_the_json_form_names_every_figure() -> None:
    row = figures_of(measured())
    assert set(json.loads(json.dumps(row.as_json()))) == set(Figures.__dataclass_fields__)
    assert row.as_json()["client_p50_ms"] is None
