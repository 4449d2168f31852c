"""The decision records stay short, complete, listed, and name tests that exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.support.source_tree import ROOT

FOLDER = ROOT / "docs/decisions"
RECORDS = sorted(FOLDER.glob("[0-9]*.md"))
PARTS = ["Context", "Decision", "Why", "Consequence", "Tests"]
MOST_LINES = 25


def faults(text: str, folder: Path) -> list[str]:
    """What is wrong with a record's text."""
    found = [f"more than {MOST_LINES} lines"] if len(text.splitlines()) > MOST_LINES else []
    if re.findall(r"^\*\*(\w+)\.\*\*", text, re.MULTILINE) != PARTS:
        found.append(f"parts other than {PARTS}")
    named = re.findall(r"\[`(test_\w+)`\]\(([^)]+)\)", text)
    if not named:
        found.append("no test")
    for name, place in named:
        file = folder / place
        if not file.is_file() or f"def {name}(" not in file.read_text():
            found.append(f"no {name} in {place}")
    return found


@pytest.mark.parametrize("path", RECORDS, ids=lambda path: path.stem)
def test_record_is_complete(path: Path) -> None:
    assert faults(path.read_text(), FOLDER) == []


def test_a_fault_would_be_found() -> None:
    text = (
        RECORDS[0].read_text().replace("**Why.**", "Why:")
        + "[`test_nothing`](../../tests/unit/test_decisions.py)"
    )
    assert faults(text, FOLDER) == [
        f"parts other than {PARTS}",
        "no test_nothing in ../../tests/unit/test_decisions.py",
    ]


def test_index_lists_every_record_under_its_title() -> None:
    titles = [path.read_text().splitlines()[0].removeprefix("# ") for path in RECORDS]
    expected = [
        f"| {number} | [{title.split('. ', 1)[1]}]({path.name}) |"
        for number, (title, path) in enumerate(zip(titles, RECORDS, strict=True), start=1)
    ]
    rows = [line for line in (FOLDER / "README.md").read_text().splitlines() if re.match(r"\| \d", line)]
    assert rows == expected
