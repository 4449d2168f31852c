"""`tasker what-if` on a log in memory: unchanged and changed templates, from files and published."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support import shop_handlers

pytestmark = pytest.mark.slow

Tasker = Callable[..., Any]


@pytest.fixture
def tasks(system: Tasker) -> list[str]:
    """Two tasks that completed and one whose second step failed."""
    options = ("--template", "shop/order", "--json", "--wait", "--timeout", "10", "-")
    return [
        system("submit", *options, stdin=json.dumps({"total": each})).json["task_id"] for each in (5, 6, 500)
    ]


@pytest.fixture
def order(tmp_path: Path) -> Callable[[str, str], str]:
    """A file of the order's template, with one text replaced."""

    def write(old: str, new: str) -> str:
        text = shop_handlers.TEMPLATES.split("\n---")[0]
        assert old in text
        file = tmp_path / "order.yaml"
        file.write_text(text.replace(old, new))
        return str(file)

    return write


def test_an_unchanged_template_changes_nothing(tasks: list[str], system: Tasker) -> None:
    ran = system("what-if", "shop/order", "--since", "-1h", "--json")
    assert ran.code == 0
    assert (ran.json["judged"], ran.json["other"], ran.json["tasks"]) == (3, 0, [])
    printed = system("what-if", "shop/order", "--since", "-1h")
    assert "3 tasks; 0 would have gone another way" in printed.out
    assert "cannot know" in printed.out


def test_a_tightened_input_schema_refuses_some(
    tasks: list[str], system: Tasker, order: Callable[[str, str], str]
) -> None:
    file = order("{type: integer}", "{type: integer, maximum: 5}")
    ran = system("what-if", file, "--since", "-1h", "--json")
    assert (ran.code, ran.json["other"], ran.json["rejected"]) == (1, 2, 2)
    assert {each["task_id"] for each in ran.json["tasks"]} == set(tasks[1:])
    assert ran.json["states"] == {"complete → rejected": 1, "error → rejected": 1}
    assert all("context.total" in each["refusal"] for each in ran.json["tasks"])
    printed = system("what-if", file, "--since", "-1h")
    assert "1 × complete → rejected" in printed.out


def test_one_task_with_its_steps(tasks: list[str], system: Tasker, order: Callable[[str, str], str]) -> None:
    new = "steps:\n  - {name: extra, handler: {callable: shop.extra}}"
    file = order("steps:", new)
    ran = system("what-if", file, "--since", "-1h", "--task", tasks[0])
    assert ran.code == 1
    assert "assumed: extra#1" in ran.out
    assert "a step of that name is not recorded" in ran.out
    many = system("what-if", file, "--since", "-1h", "--limit", "1", "--json")
    assert (many.json["other"], len(many.json["tasks"]), many.json["assumed_attempts"]) == (3, 1, 3)


def test_what_is_asked_wrongly(tasks: list[str], system: Tasker, tmp_path: Path) -> None:
    file = tmp_path / "all.yaml"
    file.write_text(shop_handlers.TEMPLATES)
    assert system("what-if", str(file), "--since", "-1h").code == 2
    assert system("what-if", "shop/order", "--since", "tuesday").code == 2
    assert system("what-if", "shop/order", "--since", "-1h", "--assume", "luck").code == 2
    assert system("what-if", "shop/none", "--since", "-1h").code == 4
    assert system("what-if", "shop/order", "--since", "now", "--task", tasks[0]).code == 4
    assert system("what-if", "shop/order", "--since", "-1h", "--version", "9.9.9").code == 0
