"""The arithmetic behind the benchmark's tables."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.bench.checkpoints import Saved
from tests.bench.figures import Figures, Measured, Spread, figures_of, percentile, spread, steady

REQUESTED = {b"a": 10_000, b"b": 10_001, b"c": 10_002, b"d": 10_003}
CLOSED = {b"a": 10_010, b"b": 10_041, b"c": 10_022, b"d": 12_000}


def measured(**changed: Any) -> Measured:
    values: dict[str, Any] = {
        "load": "drained",
        "shape": "chain-5",
        "steps_per_task": 5,
        "requested": REQUESTED,
        "closed": CLOSED,
        "cpu_seconds": {"orchestrator": 0.02, "worker": 0.01, "broker": 0.01, "load": 0.5},
        "waited_seconds": {"orchestrator": 0.04, "worker": 0.5, "broker": 0.0},
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


def test_a_spread_of_nothing_is_none() -> None:
    assert spread([]) is None
    assert spread([3.0, 1.0, 2.0]) == Spread(2.0, 3.0, 3.0)


def test_rates_are_over_the_span_of_the_records() -> None:
    row = figures_of(measured())
    assert (row.tasks_per_second, row.steps_per_second) == (2.0, 10.0)
    assert (row.p50_ms, row.p95_ms, row.p99_ms) == (20, 1997, 1997)


def test_cpu_and_log_are_per_step_and_the_load_is_not_part_of_the_sum() -> None:
    row = figures_of(measured())
    assert row.cpu_ms_per_step == pytest.approx(
        {"orchestrator": 1.0, "worker": 0.5, "broker": 0.5, "load": 25.0}
    )
    assert row.cpu_ms_per_step_all == pytest.approx(2.0)
    assert (row.records_per_step, row.bytes_per_step) == (4.0, 700.0)


def test_bytes_on_disk_are_those_of_every_topic() -> None:
    row = figures_of(measured(disk_bytes={"commands.v1": 8_000, "__consumer_offsets": 2_000, "idle": 0}))
    assert row.disk_bytes_per_step == 500.0
    assert row.disk_bytes_by_topic == {"commands.v1": 400.0, "__consumer_offsets": 100.0}
    assert figures_of(measured()).disk_bytes_per_step is None


def test_checkpoints_are_spread() -> None:
    row = figures_of(measured(checkpoints=[Saved(3, 4.0, 300.0), Saved(2, 6.0, 310.0)]))
    assert row.checkpoint_ms == Spread(4.0, 6.0, 6.0)
    assert row.checkpoint_age_ms == Spread(300.0, 310.0, 310.0)
    assert figures_of(measured()).checkpoint_ms is None


def test_crowding_compares_the_time_wanted_with_the_time_got() -> None:
    assert figures_of(measured()).crowding == pytest.approx(2.0)
    assert figures_of(measured(waited_seconds={"worker": 0.0})).crowding == 1.0
    assert figures_of(measured(cpu_seconds={}, waited_seconds={})).crowding == 1.0


def test_a_span_below_a_millisecond_is_one() -> None:
    assert figures_of(measured(requested={b"a": 10}, closed={b"a": 10})).tasks_per_second == 1000.0


def test_neither_filling_nor_emptying_counts_where_tasks_are_kept_open() -> None:
    requested = {bytes([number]): 100 * number for number in range(10)}
    closed = {task: at + 250 for task, at in requested.items()}
    part = steady(requested, closed, in_flight=3)
    assert [task[0] for task in part.tasks] == [3, 4, 5, 6], (
        "closed after the third and up to the last request"
    )
    assert part.seconds == pytest.approx(0.45)


def test_a_loop_too_short_to_be_steady_is_taken_whole() -> None:
    part = steady(REQUESTED, CLOSED, in_flight=4)
    assert (part.seconds, set(part.tasks)) == (2.0, set(CLOSED))
    assert steady(REQUESTED, CLOSED, in_flight=3).seconds == 2.0, (
        "nothing was requested after the third closed"
    )


def test_the_json_form_names_every_figure() -> None:
    row = figures_of(measured(client_ms=[1.0, 2.0], checkpoints=[Saved(1, 2.0, 3.0)]))
    plain = json.loads(json.dumps(row.as_json()))
    assert set(plain) == set(Figures.__dataclass_fields__)
    assert plain["client_ms"] == {"p50": 1.0, "p99": 2.0, "most": 2.0}
    assert plain["disk_bytes_per_step"] is None
