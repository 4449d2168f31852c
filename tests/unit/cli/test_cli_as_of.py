"""`tasker as-of` on a log in memory: what it prints, and that the positions it prints can be given back."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow

Tasker = Callable[..., Any]


@pytest.fixture
def tasks(system: Tasker) -> list[str]:
    """Two tasks that completed and one that failed."""
    options = ("--template", "shop/order", "--json", "--wait", "--timeout", "10", "-")
    return [
        system("submit", *options, stdin=json.dumps({"total": each})).json["task_id"] for each in (5, 6, 500)
    ]


def test_the_list_and_the_positions(tasks: list[str], system: Tasker, tmp_path: Path) -> None:
    found = system("as-of", "now", "--json").json
    assert {each["task_id"] for each in found["tasks"]} == set(tasks)
    assert (found["total"], found["counts"]) == (3, {"complete": 2, "error": 1})
    file = tmp_path / "then.json"
    file.write_text(json.dumps(found))
    system("submit", "--template", "shop/order", "--json", "--wait", "-", stdin='{"total": 7}')
    assert system("as-of", str(file), "--json").json["tasks"] == found["tasks"]
    printed = system("as-of", str(file))
    assert "3 tasks: 2 complete, 1 error" in printed.out
    vector = next(word for word in printed.out.split() if word.startswith("@"))
    assert system("as-of", vector, "--json").json["counts"] == found["counts"]
    assert system("as-of", "now", "--json").json["total"] == 4
    assert system("as-of", "now", "--state", "error", "--limit", "1").out.count("error") == 2


def test_one_task_at_an_offset(tasks: list[str], system: Tasker) -> None:
    whole = system("task", "show", tasks[0], "--json").json
    first = whole["transitions"][0]["offset"] + 1
    then = system("as-of", f"@{first}", tasks[0], "--json").json
    assert (then["task"]["seq"], then["task"]["state"]) == (1, "in_progress")
    assert then["records_after"] == whole["seq"] - 1
    printed = system("as-of", f"@{first}", tasks[0])
    assert (printed.code, "in_progress" in printed.out) == (0, True)
    assert "more records of this life" in printed.out


def test_a_span_is_taken_though_it_looks_like_an_option(tasks: list[str], system: Tasker) -> None:
    assert system("as-of", "-2h", "--json").json["total"] == 0
    missing = system("as-of", "-2h", tasks[0])
    assert (missing.code, "did not exist" in missing.err) == (4, True)


@pytest.mark.parametrize("text", ["--jsn", "tuesday", "@5"])
def test_what_is_no_moment(tasks: list[str], system: Tasker, text: str) -> None:
    ran = system("as-of", text)
    assert ran.code == 2
    assert "partition" in ran.err or "Invalid value" in ran.err
