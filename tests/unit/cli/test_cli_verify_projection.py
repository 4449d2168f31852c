"""`tasker verify-rebuild --projection` on a log in memory."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow

Tasker = Callable[..., Any]


@pytest.fixture
def store(system: Tasker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The projection of two tasks."""
    place = tmp_path / "projection.sqlite"
    monkeypatch.setenv("TASKER_PROJECTION__URL", str(place))
    options = ("--template", "shop/order", "--json", "--wait", "--timeout", "10", "-")
    for total in (5, 500):
        system("submit", *options, stdin=json.dumps({"total": total}))
    assert system("projection", "rebuild").code == 0
    return place


def test_equal_then_damaged(store: Path, system: Tasker) -> None:
    printed = system("verify-rebuild", "--projection")
    assert printed.code == 0, printed.out + printed.err
    assert "2 tasks are in the projection as the log says" in printed.out
    found = system("verify-rebuild", "--projection", "--json").json
    assert (found["is_equal"], found["projection"]["differences"]) == (True, 0)
    assert "projection" not in system("verify-rebuild", "--json").json
    with closing(sqlite3.connect(store)) as connection, connection:
        connection.execute("update step set state = 'pending' where state = 'error'")
    damaged = system("verify-rebuild", "--projection")
    assert damaged.code == 1
    for text in ("DIFFERENT: 1 of 2 tasks", "step.state", "in the log: error", "in the projection: pending"):
        assert text in damaged.out
    found = system("verify-rebuild", "--store", str(store), "--json")
    assert (found.code, found.json["is_equal"], found.json["differences"]) == (1, False, 0)
    first = found.json["projection"]["first"]
    assert (first["table"], first["column"], first["in_log"]) == ("step", "state", "error")
    assert system("verify-rebuild", "--projection", "--task", first["task_id"]).code == 1
    assert system("projection", "rebuild").code == 0
    assert system("verify-rebuild", "--projection").code == 0


def test_no_projection(system: Tasker, tmp_path: Path) -> None:
    ran = system("verify-rebuild", "--store", str(tmp_path / "none.sqlite"))
    assert (ran.code, "no projection" in ran.err) == (78, True)
