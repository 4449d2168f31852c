"""What ends the console before it begins: an address that is taken, or that would be open to all."""

from __future__ import annotations

import importlib.util
import json
import socket

import pytest
from typer.testing import CliRunner

from tasker_kafka.deploy.cli import console_role
from tasker_kafka.deploy.cli.app import app
from tasker_kafka.deploy.console.serve import run_console
from tasker_kafka.schemas.errors import ConfigurationError
from tasker_kafka.schemas.settings import load_settings
from tasker_kafka.topics.memory import MemoryCluster, MemoryLog


def test_a_taken_port_is_told_before_anything_starts() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        settings = load_settings(environ={"TASKER_CONSOLE__PORT": str(port)})
        with pytest.raises(ConfigurationError, match=f"127.0.0.1:{port} cannot be listened on"):
            run_console(lambda: MemoryLog(MemoryCluster()), settings)


def test_settings_that_were_changed_by_hand_do_not_open_it_to_all() -> None:
    settings = load_settings(environ={})
    opened = settings.model_copy(update={"console": settings.console.model_copy(update={"host": "0.0.0.0"})})
    with pytest.raises(ConfigurationError, match="open to all"):
        run_console(lambda: MemoryLog(MemoryCluster()), opened)


def test_without_the_extra_it_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: None if name == "nicegui" else found(name, *rest)
    )
    with pytest.raises(ConfigurationError, match=r"needs nicegui(.|\n)*tasker-kafka\[console\]"):
        console_role.require_extra()


def test_the_description_is_printed() -> None:
    ran = CliRunner().invoke(app, ["console", "openapi"])
    assert ran.exit_code == 0
    assert json.loads(ran.stdout)["openapi"].startswith("3.1")
