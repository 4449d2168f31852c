"""The frame of the command line: help, version, settings, exit codes, and what is not imported."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from tasker_kafka import __version__
from tasker_kafka.deploy.cli.exits import CommandExit, code_of
from tasker_kafka.schemas.errors import (
    BrokerUnavailable,
    CommandRejected,
    FencedError,
    NotFoundError,
    PartitionLost,
    SchemaUnknown,
    TaskFailed,
    TopicsDrifted,
    WaitTimeout,
)
from tasker_kafka.schemas.exits import MemberFenced

Tasker = Callable[..., Any]
COMMANDS = {
    "dev": (),
    "broker": ("start", "stop", "status"),
    "topics": ("create", "verify", "repair", "list", "acls"),
    "orchestrator": (),
    "worker": ("list",),
    "subscriber": ("check",),
    "submit": (),
    "task": ("list", "show", "watch", "graph", "cancel", "retry", "resolve", "set-reason", "set-tags"),
    "step": ("retry", "resolve", "complete", "cancel", "set-max-attempts"),
    "template": ("list", "lint", "show", "graph", "publish", "convert"),
    "rejections": ("list", "show"),
    "stale": ("list", "show", "resolve"),
    "catalog": ("events",),
    "dlq": ("list", "show", "redrive", "purge"),
    "config": ("show", "validate", "explain"),
    "init": (),
    "generate": ("handler", "template", "subscriber", "events"),
    "schemas": ("check",),
    "doctor": (),
}


def test_help_names_every_command(tasker: Tasker) -> None:
    out = tasker("--help").out
    assert all(f"\n  {name} " in out for name in COMMANDS)


@pytest.mark.parametrize("group", [name for name, below in COMMANDS.items() if below])
def test_help_of_a_group_names_its_commands(tasker: Tasker, group: str) -> None:
    out = tasker(group, "--help").out
    assert all(f"\n  {name} " in out for name in COMMANDS[group])


@pytest.mark.parametrize("name", [f"{group} {each}" for group, below in COMMANDS.items() for each in below])
def test_every_command_explains_itself(tasker: Tasker, name: str) -> None:
    ran = tasker(*name.split(), "--help")
    assert ran.code == 0
    assert len(ran.out.splitlines()) > 4


def test_version(tasker: Tasker) -> None:
    assert tasker("--version").out == f"tasker {__version__}\n"


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (NotFoundError("x"), 4),
        (WaitTimeout("x"), 5),
        (TaskFailed("x", state="error"), 1),
        (CommandRejected("x", code="forbidden"), 1),
        (BrokerUnavailable("x"), 75),
        (PartitionLost("x"), 76),
        (FencedError("x"), 76),
        (MemberFenced("x"), 77),
        (TopicsDrifted("x"), 78),
        (SchemaUnknown("x"), 78),
        (KeyboardInterrupt(), 130),
        (ZeroDivisionError(), 70),
    ],
)
def test_each_kind_of_error_has_its_exit_code(error: BaseException, code: int) -> None:
    assert code_of(error) == CommandExit(code)


def test_a_defect_prints_its_traceback_and_is_exit_code_70() -> None:
    code = (
        "import tasker_kafka.deploy.cli as cli, tasker_kafka.deploy.cli.app as frame\n"
        "def app(**_): raise ZeroDivisionError('a defect')\n"
        "frame.app = app; cli.main()"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ran.returncode == 70
    assert "ZeroDivisionError: a defect" in ran.stderr


HEAVY = ("faust", "mode", "tasker_kafka.streams.lane", "tasker_kafka.handlers")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("modules", "heavy"),
    [
        (
            "tasker_kafka.deploy.cli.app",
            (*HEAVY, "tasker_kafka.streams", "rich", "pydantic", "aiokafka", "fastavro"),
        ),
        ("tasker_kafka.topics.client, tasker_kafka.deploy.request_files", HEAVY),
        ("tasker_kafka.deploy.reading, tasker_kafka.topics.kafka", HEAVY),
        (
            "tasker_kafka.deploy.cli.subscriber, tasker_kafka.deploy.subscribing, tasker_kafka.deploy.supervising, "
            "tasker_kafka.handlers.subscribing.serving, tasker_kafka.handlers.delivery.runtime, "
            "tasker_kafka.handlers.integrations, tasker_kafka.topics.kafka.configured",
            ("faust", "mode", "tasker_kafka.streams"),
        ),
    ],
)
def test_commands_load_no_roles(modules: str, heavy: tuple[str, ...]) -> None:
    code = f"import {modules}; import sys, json; print(json.dumps(sorted(sys.modules)))"
    loaded = set(json.loads(subprocess.check_output([sys.executable, "-c", code])))
    assert not loaded.intersection(heavy)


WITHOUT = (
    "fastapi",
    "starlette",
    "uvicorn",
    "nicegui",
    "sqlalchemy",
    "faust",
    "mode",
    "pydantic",
    "aiokafka",
    "rich",
)


@pytest.mark.parametrize(
    ("words", "also"),
    [
        (["--help"], ()),
        # Typer reads options with it.
        (["task", "list", "--help"], ("pydantic",)),
        (["step", "complete", "--help"], ("pydantic",)),
        # A real call needs settings and the driver.
        (["task", "list"], ("pydantic", "aiokafka")),
    ],
)
def test_a_call_loads_what_it_needs(words: list[str], also: tuple[str, ...]) -> None:
    code = (
        "import sys, json, tasker_kafka.deploy.cli as cli\n"
        f"sys.argv[1:] = {words}\n"
        "try: cli.main()\n"
        "except SystemExit: print('\\n' + json.dumps(sorted(sys.modules)), file=sys.stderr)"
    )
    environment = {
        **os.environ,
        "TASKER_BROKER": "127.0.0.1:1",
        "TASKER_BROKER__CONNECT_TIMEOUT_SECONDS": "1",
    }
    ran = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
    )
    loaded = set(json.loads(ran.stderr.splitlines()[-1]))
    assert not loaded.intersection(WITHOUT).difference(also)
    assert "typer" in loaded


class TestConfig:
    def test_show_validate_explain(self, tasker: Tasker, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("TASKER_ENGINE__ORDINAL", "3")
        assert tasker("config", "show", "--json").json["settings"]["engine.ordinal"] == 3
        assert "variable TASKER_ENGINE__ORDINAL" in tasker("config", "show").out
        assert tasker("config", "validate", "--json").json == {"environment": "development", "valid": True}
        (told,) = tasker("config", "explain", "engine.ordinal", "--json").json["settings"]
        assert (told["value"], told["origin"]) == (3, "variable TASKER_ENGINE__ORDINAL")
        assert "zero      the first" in tasker("config", "explain", "engine.ordinal").out

    def test_an_invalid_setting_is_refused_with_its_place(
        self, tasker: Tasker, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("TASKER_ENGINE__ORDINAL", "first")
        ran = tasker("config", "validate")
        assert ran.code == 78
        assert "variable TASKER_ENGINE__ORDINAL" in ran.err

    def test_an_unknown_key_names_the_nearest(self, tasker: Tasker) -> None:
        ran = tasker("config", "explain", "engine.ordinl")
        assert ran.code == 4
        assert "engine.ordinal" in ran.err
