"""`tasker subscriber check`, and what the role refuses before it connects."""

from __future__ import annotations

import gc
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tasker_kafka.deploy.subscribing import Wanted, subscriber_command
from tests.support import event_subscribers, shop_handlers

Tasker = Callable[..., Any]
MODULE = event_subscribers.__name__
TEMPLATE = """
name: order
namespace: shop
version: 1.0.0
steps:
  - name: pay
    handler: {callable: shop.pay}
    publishes_events: [{name: EVENT}]
"""


@pytest.fixture(autouse=True)
def _as_it_was() -> Iterator[None]:
    """A role sets up its whole process: undo it."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:], root.level = handlers, level
    gc.enable()


def test_check_shows_what_would_be_served(tasker: Tasker) -> None:
    rows = tasker("subscriber", "check", "-m", MODULE, "--json").json["subscriptions"]
    assert rows == [
        {
            "group": "leaving",
            "subscription": "leave",
            "events": ["order.*"],
            "delivery": "durable",
            "payload": "OrderPlaced",
            "handler": "thread",
        },
        {
            "group": "steady",
            "subscription": "record",
            "events": ["order.*"],
            "delivery": "durable",
            "payload": "OrderPlaced",
            "handler": "async",
        },
    ]
    assert "steady" in tasker("subscriber", "check", "-m", MODULE, "-g", "steady").out
    assert "leaving" not in tasker("subscriber", "check", "-m", MODULE, "-g", "steady").out


def test_check_reads_subscriptions_files(tasker: Tasker, tmp_path: Path) -> None:
    file = tmp_path / "s.yaml"
    file.write_text("event_subscriptions:\n  - {handler: Noting, events: ['**'], config: {mark: x}}\n")
    groups = {
        each["group"]
        for each in tasker("subscriber", "check", "-m", MODULE, "-c", str(file), "--json").json[
            "subscriptions"
        ]
    }
    assert groups == {"leaving", "noting", "steady"}
    file.write_text("event_subscriptions:\n  - {handler: Noting, events: ['**'], config: {marc: x}}\n")
    ran = tasker("subscriber", "check", "-m", MODULE, "-c", str(file))
    assert ran.code == 78
    assert f"{file}:2: Noting: config.marc: unknown key; did you mean `mark`?" in ran.err


@pytest.mark.parametrize(("event", "code"), [("order.placed", 0), ("ordr.placed", 1)])
def test_check_compares_with_templates(tasker: Tasker, tmp_path: Path, event: str, code: int) -> None:
    (tmp_path / "t.yaml").write_text(TEMPLATE.replace("EVENT", event))
    arguments = ("subscriber", "check", "-m", MODULE, "-g", "steady", "-t", str(tmp_path))
    ran = tasker(*arguments)
    assert ran.code == code
    assert ("no published template declares" in ran.err) == bool(code)
    assert len(tasker(*arguments, "--json").json["warnings"]) == code


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        ((), 2, "give a module or a subscriptions file"),
        (("-m", shop_handlers.__name__), 78, "no subscriber in"),
        (("-m", "shown_nowhere"), 78, "there is no module"),
        (("-m", MODULE, "-g", "stedy"), 78, "did you mean `steady`?"),
        (("-c", "nowhere.yaml"), 78, "nowhere.yaml cannot be read"),
        (("-m", MODULE, "--log-level", "LOUD"), 2, "one of DEBUG"),
    ],
)
def test_the_role_refuses_before_it_connects(
    tasker: Tasker, arguments: tuple[str, ...], code: int, words: str
) -> None:
    ran = tasker("subscriber", *arguments)
    assert (ran.code, words in ran.err) == (code, True), ran.err


def test_a_worker_takes_files_for_its_subscribers_only(tasker: Tasker) -> None:
    ran = tasker("worker", "-m", shop_handlers.__name__, "--config", "s.yaml")
    assert (ran.code, "give the modules of its subscribers" in ran.err) == (2, True)
    ran = tasker("worker", "-m", shop_handlers.__name__, "--with-subscribers", shop_handlers.__name__)
    assert (ran.code, "no subscriber in" in ran.err) == (78, True)


def test_the_command_of_a_child_says_all_that_is_wanted() -> None:
    wanted = Wanted(modules=("a", "b"), files=(Path("s.yaml"),), groups=("g",))
    _, _, _, *arguments = subscriber_command(wanted, log_level="DEBUG")
    assert " ".join(arguments) == (
        "subscriber --module a --module b --config s.yaml --group g --log-level DEBUG"
    )
