"""What the benchmark's options mean."""

from __future__ import annotations

import pytest

from tests.bench.run import LOADS, SHAPES, arguments, header, plans, report, sizes_of


def test_without_options_everything_runs() -> None:
    chosen = arguments([])
    assert (chosen.shapes, chosen.loads) == (list(SHAPES), list(LOADS))
    sizes = sizes_of(chosen)
    assert [sizes.of("drained", shape) for shape in SHAPES] == [2_000, 2_000, 500]
    assert [sizes.of("one client", shape) for shape in SHAPES] == [200, 200, 200]


def test_the_drained_load_can_be_raised_also_in_quick_mode() -> None:
    assert sizes_of(arguments(["--tasks", "20000"])).of("drained", "fan-out-20") == 5_000
    quick = sizes_of(arguments(["--quick", "--tasks", "10"]))
    assert (quick.of("drained", "chain-5"), quick.of("one client", "chain-5")) == (10, 30)


@pytest.mark.parametrize(
    "wrong", [["--tasks", "0"], ["--shapes", "circle"], ["--loads", "drained,none"], ["--in-flight", "-1"]]
)
def test_what_makes_no_sense_is_refused(wrong: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        arguments(wrong)
    assert wrong[0] in capsys.readouterr().err


def test_the_shapes_are_what_their_names_say() -> None:
    assert {name: len(plan.steps) for name, plan in plans().items()} == {
        "chain-5": 5,
        "diamond": 4,
        "fan-out-20": 22,
    }


def test_the_report_says_on_what_it_was_measured() -> None:
    head = header(sizes_of(arguments([])), 1.25, {"processor": "two of them"})
    text = report(head, [])
    assert "processor two of them" in text
    assert "1.2 s" in text
    assert "acks=all" in text
