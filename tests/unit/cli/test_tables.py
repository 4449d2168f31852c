"""Tables at any width, in a pipe, and on a terminal that has no Unicode."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from collections.abc import Sequence

import pytest
from rich.console import Console

from tasker_kafka.deploy.cli import console
from tasker_kafka.deploy.cli.tables import table_of

COLUMNS = ("task", "template", "state", "created", "")
ROWS = [
    ("0197f3c8-7a1e-7c3b-9d7e-2f1a5b6c7d8e", "shop/order", "complete", "2026-01-31 09:30:00.000Z", ""),
    ("0197f3c8-7a1e-7c3b-9d7e-2f1a5b6c7d8f", "shop/parcel", "error", "–", "silent"),
]


def lines(width: int | None, rows: Sequence[tuple[str, ...]] = ROWS) -> list[str]:
    """What is printed, without trailing blanks."""
    out = io.StringIO()
    Console(file=out, width=width or 100_000).print(table_of(COLUMNS, rows, width=width))
    return [line.rstrip() for line in out.getvalue().splitlines()]


def test_as_much_as_it_takes() -> None:
    head, rule, *rows = lines(None)
    assert head.split() == ["task", "template", "state", "created"]
    assert set(rule) == {"─"}
    assert [row.split()[:3] for row in rows] == [list(row[:3]) for row in ROWS]
    assert rows[0].endswith("2026-01-31 09:30:00.000Z")
    assert len(rows) == 2, "a row is a line, without a blank one before or after"


def test_a_row_in_a_pipe_is_a_line_however_long() -> None:
    long = ("a", "b " * 500, "c", "–", "")
    assert len(lines(None, [long])) == 3


@pytest.mark.parametrize("width", [120, 100, 90, 88])
def test_words_are_not_cut(width: int) -> None:
    found = lines(width)
    assert all(len(line) <= width for line in found)
    words = " ".join(found).split()
    for row in ROWS:
        assert set(" ".join(row).split()) <= set(words)
    assert any(line.startswith(ROWS[0][0]) for line in found)


@pytest.mark.parametrize("width", [80, 60, 40])
def test_too_narrow_for_columns(width: int) -> None:
    found = lines(width)
    assert [line for line in found if not line.startswith(" ")] == [row[0] for row in ROWS]
    assert "state complete" in " ".join(" ".join(found).split())
    assert "created –" not in " ".join(found), "what is not there is left out"
    assert "silent" in " ".join(found)
    assert all(len(line) <= width for line in found)


def test_only_very_long_words_are_cut() -> None:
    found = lines(70, [("a", "x" * 200, "c", "–", "")])
    assert all(len(line) <= 70 for line in found)
    assert "".join(found).count("x") == 200


def test_wide_letters_are_measured_in_cells() -> None:
    found = lines(None, [("a", "日本", "c", "–", ""), ("b", "four", "c", "–", "")])
    assert found[2].index("c") + 2 == found[3].index("c"), "two letters of two cells each"


def test_letters_that_a_terminal_does_not_have(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="ascii"))
    console.take_any_terminal()
    console.print_table(("a", "b"), [("–", "1 → 2 × 3…"), ("é", "└─ ├─ │")])
    sys.stdout.flush()
    shown = raw.getvalue().decode("ascii").splitlines()
    assert shown[2].split() == ["-", "|1", "->", "2", "x", "3..."]
    assert shown[3].split() == ["?", "|`-", "+-", "|"]


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """The command line in a process of its own."""
    return subprocess.run(
        ["bash", "-c", " ".join(arguments)],
        env={**os.environ, "PY": sys.executable, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("form", ["", "--json"])
def test_whoever_reads_may_go_away(form: str) -> None:
    ran = run(
        f"$PY -m tasker_kafka.deploy.cli catalog events --system {form} | true; echo ${{PIPESTATUS[0]}}",
    )
    assert (ran.stdout, ran.stderr) == ("141\n", "")


def test_ascii_only() -> None:
    ran = run("$PY -m tasker_kafka.deploy.cli config show", PYTHONIOENCODING="ascii")
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.isascii()


def test_a_short_first_cell_shares_its_line() -> None:
    shown = io.StringIO()
    columns = ("offset", *(f"column_{number}" for number in range(4)))
    rows = [("7", *("abcdefghij" for _ in range(4)))]
    Console(file=shown, width=50).print(table_of(columns, rows, width=50))
    first = shown.getvalue().splitlines()[0]
    assert first.startswith("offset 7  column_0 abcdefghij")
