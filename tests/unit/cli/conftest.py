"""The command line on a log in memory: `tasker("topics", "list")` runs a command and gives what it printed."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import typer.main
import typer.testing
from typer.testing import CliRunner

from tasker_kafka.deploy.cli import session
from tasker_kafka.deploy.cli.app import app
from tasker_kafka.handlers import HandlerRegistry
from tasker_kafka.topics.log import TopicPartition
from tasker_kafka.topics.memory import MemoryCluster, MemoryLog


@dataclass(frozen=True)
class Ran:
    """How a command ended and what it printed."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Standard output as JSON."""
        return json.loads(self.out)


Tasker = Callable[..., Ran]

# Typer makes every command of the tree anew for each call, which takes longer than most calls.
_made_once = functools.cache(typer.main.get_command)


@pytest.fixture
def cluster() -> MemoryCluster:
    """A cluster in memory without topics."""
    return MemoryCluster()


@pytest.fixture
def tasker(cluster: MemoryCluster, monkeypatch: pytest.MonkeyPatch) -> Tasker:
    """Runs commands of `tasker` on the cluster. An error that is no TaskerError fails the test."""
    monkeypatch.setattr(typer.testing, "_get_command", _made_once)
    monkeypatch.setenv("TASKER_BROKER", "memory:1")
    monkeypatch.delenv("TASKER_PREFIX", raising=False)
    monkeypatch.setattr(session, "connect", lambda settings: MemoryLog(cluster))

    def invoke(*arguments: str, stdin: str | None = None) -> Ran:
        result = CliRunner().invoke(app, arguments, input=stdin)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return Ran(result.exit_code, result.stdout, result.stderr)

    return invoke


@pytest.fixture
def system(tasker: Tasker, cluster: MemoryCluster, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Tasker:
    """As `tasker`, with the shop's template published, and an orchestrator and a worker that answer."""
    from tests.support import shop_handlers
    from tests.support.living_log import LivingLog

    template = tmp_path / "shop.yaml"
    template.write_text(shop_handlers.TEMPLATES)
    tasker("topics", "create", "--partitions", "2")
    tasker("template", "publish", str(template))
    tasker("topics", "create")
    registry = HandlerRegistry()
    registry.load(shop_handlers.__name__)
    positions: dict[TopicPartition, int] = {}
    monkeypatch.setattr(
        session, "connect", lambda settings: LivingLog(cluster, registry, ["shop"], positions)
    )
    return tasker
