"""Figures on paper."""

from __future__ import annotations

from typing import Any

import pytest

from tests.bench.figures import Figures, Spread
from tests.bench.tables import (
    COST_COLUMNS,
    SPEED_COLUMNS,
    aligned,
    cost_table,
    described,
    filled,
    speed_table,
)


def figures(**changed: Any) -> Figures:
    values: dict[str, Any] = {
        "load": "drained",
        "shape": "chain-5",
        "tasks": 20_000,
        "steps": 100_000,
        "tasks_per_second": 1834.4,
        "steps_per_second": 9172.0,
        "p50_ms": 7.0,
        "p95_ms": 10.0,
        "p99_ms": 11.0,
        "client_ms": None,
        "cpu_ms_per_step": {"orchestrator": 0.1, "worker": 0.05, "load": 0.01},
        "cpu_ms_per_step_all": 0.15,
        "crowding": 1.31,
        "records_per_step": 4.01,
        "bytes_per_step": 703.0,
        "disk_bytes_per_step": None,
    }
    return Figures(**values | changed)


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split("|")]


@pytest.mark.parametrize(("table", "columns"), [(speed_table, SPEED_COLUMNS), (cost_table, COST_COLUMNS)])
def test_every_row_has_every_column_and_the_same_width(table: Any, columns: tuple[str, ...]) -> None:
    lines = table([figures(), figures(load="one client", client_ms=Spread(1.4, 2.6, 9.0))]).splitlines()
    assert {line.count("|") for line in lines} == {len(columns) + 1}
    assert len({len(line) for line in lines}) == 1
    assert tuple(cells(lines[0])) == columns


def test_what_was_not_measured_is_a_dash() -> None:
    row = dict(zip(COST_COLUMNS, cells(cost_table([figures()]).splitlines()[-1]), strict=True))
    assert (row["broker"], row["on disk"], row["checkpoint ms"]) == ("–", "–", "–")
    assert (row["orchestrator"], row["load"], row["records/step"]) == ("0.100", "0.010", "4.01")


def test_a_spread_is_shown_as_its_three_numbers() -> None:
    text = speed_table([figures(client_ms=Spread(13.4, 29.6, 1234.0))])
    assert "13 / 30 / 1,234" in text
    assert "1,834" in text


def test_numbers_stand_to_the_right() -> None:
    assert aligned(["a", "b"], [["x", "10,000"]]).splitlines() == [
        "| a   |      b |",
        "| --- | -----: |",
        "| x   | 10,000 |",
    ]


def test_the_head_is_a_line_per_entry() -> None:
    assert described({"machine": {"cores": 2, "load": "0.1"}, "settings": "all"}) == (
        "- machine: cores 2, load 0.1\n- settings: all"
    )


DOCUMENT = "Words.\n\n<!-- bench:loads -->\nold\n<!-- /bench:loads -->\n\nMore words.\n"


def test_a_marked_place_is_filled_and_nothing_else_is_touched() -> None:
    once = filled(DOCUMENT, {"loads": r"a \1 b"})
    assert once == ("Words.\n\n<!-- bench:loads -->\n\na \\1 b\n\n<!-- /bench:loads -->\n\nMore words.\n")
    assert filled(once, {"loads": r"a \1 b"}) == once


@pytest.mark.parametrize("document", ["no place", DOCUMENT + DOCUMENT])
def test_a_place_must_be_there_once(document: str) -> None:
    with pytest.raises(ValueError, match="<!-- bench:loads -->"):
        filled(document, {"loads": "new"})
