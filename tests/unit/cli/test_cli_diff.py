"""`tasker diff` on a log in memory: counts, one task whole, and the exit codes."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import pytest

pytestmark = pytest.mark.slow

Tasker = Callable[..., Any]


def submitted(system: Tasker, total: int) -> str:
    options = ("--template", "shop/order", "--json", "--wait", "--timeout", "10", "-")
    return str(system("submit", *options, stdin=json.dumps({"total": total})).json["task_id"])


def test_counts_and_exit_codes(system: Tasker) -> None:
    submitted(system, 5)
    then = next(word for word in system("as-of", "now").out.split() if word.startswith("@"))
    assert (system("diff", then, "now").code, system("diff", then, "now").out.count("no difference")) == (
        0,
        1,
    )
    failed = submitted(system, 500)
    found = system("diff", then, "now", "--json")
    assert (found.code, found.json["total"], found.json["states"]) == (1, 1, {"– → error": 1})
    assert found.json["tasks"][0]["task_id"] == failed
    again = system("diff", then, "now", failed)
    assert (again.code, "charge" in again.out) == (1, True)
    printed = system("diff", "-1h", "now")
    assert (printed.code, "2 created" in printed.out) == (1, True)
    assert system("diff", "-1h", "now", "--kind", "closed").code == 0


def test_times_are_told_as_times(system: Tasker) -> None:
    task = submitted(system, 500)
    then = next(word for word in system("as-of", "now").out.split() if word.startswith("@"))
    system("step", "retry", task, "charge")
    printed = system("diff", then, "now", task).out
    assert re.search(r"started_at: \d{4}-\d\d-\d\dT[0-9:.]+Z → ", printed)
    assert not re.search(r"\b\d{13}\b", printed)
    assert system("diff", then, "now", "--state", "error", "--state", "complete", "--json").json["total"] == 1


def test_what_is_asked_wrongly(system: Tasker) -> None:
    assert system("diff", "now", "soon").code == 2
    assert system("diff", "-1h", "now", "--kind", "lost").code == 2
    submitted(system, 5)
    assert system("diff", "now", "-1h").code == 2
