"""What the benchmark's options mean."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.bench.options import LOADS, arguments, sizes_of
from tests.bench.run import runs_of
from tests.bench.shapes import SHAPES, plans


def test_without_options_everything_runs() -> None:
    chosen = arguments([])
    assert (chosen.shapes, chosen.loads) == (list(SHAPES), list(LOADS))
    rows = [(each.load, each.shape, each.tasks) for each in runs_of(chosen, sizes_of(chosen))]
    assert len(rows) == len(SHAPES) * 5
    assert rows[: len(SHAPES)] == [
        ("drained", "chain-5", 20_000),
        ("drained", "linear-4", 20_000),
        ("drained", "diamond", 20_000),
        ("drained", "fan-out-20", 4_545),
        ("drained", "tree", 6_666),
    ]
    assert ("64 in flight", "chain-5", 2_000) in rows
    assert ("1024 in flight", "chain-5", 4_096) in rows
    assert ("one client", "tree", 200) in rows


def test_a_number_of_tasks_holds_for_every_shape_also_in_quick_mode() -> None:
    assert sizes_of(arguments(["--tasks", "50000"])).drained(22) == 50_000
    quick = sizes_of(arguments(["--quick", "--tasks", "10"]))
    assert (quick.drained(5), quick.one_client) == (10, 30)


def test_loads_shapes_and_numbers_can_be_chosen() -> None:
    chosen = arguments(["--loads", "in flight", "--shapes", "tree,diamond", "--in-flight", "8,16"])
    rows = runs_of(chosen, sizes_of(chosen))
    assert [(each.shape, each.in_flight) for each in rows] == [
        ("diamond", 8),
        ("tree", 8),
        ("diamond", 16),
        ("tree", 16),
    ]


@pytest.mark.parametrize(
    "wrong", [["--tasks", "0"], ["--shapes", "circle"], ["--loads", "drained,none"], ["--in-flight", "-1"]]
)
def test_what_makes_no_sense_is_refused(wrong: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        arguments(wrong)
    assert wrong[0] in capsys.readouterr().err


def test_the_shapes_are_what_their_names_say() -> None:
    known = plans()
    assert {name: len(plan.steps) for name, plan in known.items()} == {
        "chain-5": 5,
        "linear-4": 4,
        "diamond": 4,
        "fan-out-20": 22,
        "tree": 15,
    }
    leaves = [
        step for step, below in zip(known["tree"].steps, known["tree"].children, strict=True) if not below
    ]
    assert len(leaves) == 8


def test_a_document_that_is_not_there_is_refused_before_anything_is_measured(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        arguments(["--markdown", str(tmp_path / "gone.md")])
    assert "there is no document" in capsys.readouterr().err
    (tmp_path / "here.md").touch()
    assert arguments(["--markdown", str(tmp_path / "here.md")]).markdown == tmp_path / "here.md"
