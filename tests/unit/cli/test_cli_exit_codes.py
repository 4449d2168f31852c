"""Every documented exit code, reached by a command as a user calls it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any, Final

import pytest

from tasker_kafka.deploy.cli import session
from tasker_kafka.deploy.cli.exits import CommandExit
from tasker_kafka.schemas.errors import BrokerUnavailable, PartitionLost
from tasker_kafka.schemas.exits import MemberFenced

Tasker = Callable[..., Any]

RAISED: Final[dict[CommandExit, BaseException]] = {
    CommandExit.BROKER: BrokerUnavailable("nobody answers"),
    CommandExit.PARTITION_LOST: PartitionLost("another has it"),
    CommandExit.FENCED: MemberFenced("another is it"),
    CommandExit.INTERRUPTED: KeyboardInterrupt(),
}
CALLED: Final = {
    CommandExit.OK: ("catalog", "events", "--system"),
    CommandExit.USAGE: ("task", "list", "--state", "nonsense"),
    CommandExit.NOT_FOUND: ("config", "explain", "nonsense"),
    CommandExit.CONFIGURATION: ("task", "list"),
}
"""Without topics."""
SCRIPTS: Final = {
    CommandExit.INTERNAL: "import tasker_kafka.deploy.cli.app as frame\n"
    "def app(**_): raise ZeroDivisionError\nframe.app = app",
    CommandExit.CLOSED_PIPE: "import os, sys\nread, write = os.pipe()\nos.close(read)\nos.dup2(write, 1)\n"
    "sys.argv[1:] = ['catalog', 'events', '--system']",
}


@pytest.mark.parametrize("code", RAISED)
def test_what_the_log_raises(tasker: Tasker, monkeypatch: pytest.MonkeyPatch, code: CommandExit) -> None:
    def fail(settings: object) -> None:
        raise RAISED[code]

    monkeypatch.setattr(session, "connect", fail)
    assert tasker("task", "list").code == code


@pytest.mark.parametrize("code", CALLED)
def test_what_is_called(tasker: Tasker, code: CommandExit) -> None:
    assert tasker(*CALLED[code]).code == code


@pytest.mark.parametrize("code", SCRIPTS)
def test_what_only_a_process_can_show(code: CommandExit) -> None:
    script = f"import tasker_kafka.deploy.cli as cli\n{SCRIPTS[code]}\ncli.main()"
    ran = subprocess.run(
        [sys.executable, "-c", script], env=dict(os.environ), capture_output=True, check=False
    )
    assert ran.returncode == code


def test_refused(system: Tasker) -> None:
    request = json.dumps({"total": "no number"})
    ran = system("submit", "--template", "shop/order", "--wait", "-", stdin=request)
    assert ran.code == CommandExit.REFUSED


def test_timeout(system: Tasker) -> None:
    ran = system("submit", "--template", "shop/order", "--wait", "--timeout", "0", "-", stdin="{}")
    assert ran.code == CommandExit.TIMEOUT


def test_every_code_is_reached_here() -> None:
    reached = {*RAISED, *CALLED, *SCRIPTS, CommandExit.REFUSED, CommandExit.TIMEOUT}
    assert reached == set(CommandExit)
