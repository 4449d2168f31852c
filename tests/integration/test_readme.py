"""The README's example, typed in as it is printed: template, handlers, the roles one by one, a request, its result."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tasker_kafka.topics.brokers import Broker
from tasker_kafka.topics.brokers.wire import free_port
from tests.support.documents import Block, blocks
from tests.support.patience import PATIENCE_SECONDS

ROLES = ("tasker orchestrator", "tasker worker", "tasker subscriber", "tasker console")
README = blocks("README.md")

pytestmark = pytest.mark.slow


def the(language: str, text: str) -> Block:
    """The one block of this language that holds this text."""
    [found] = [block for block in README if block.language == language and text in block.text]
    return found


@contextmanager
def role(line: str, folder: Path, environment: dict[str, str]) -> Iterator[None]:
    """A role as a terminal of its own would run it; it has to stop in order."""
    with (folder / "roles.log").open("ab") as log:
        process = subprocess.Popen(line, shell=True, cwd=folder, env=environment, stdout=log, stderr=log)
    try:
        yield
    finally:
        process.terminate()
        assert process.wait(PATIENCE_SECONDS) == 0, (folder / "roles.log").read_text()


def run(line: str | list[str], folder: Path, environment: dict[str, str]) -> str:
    """What a command prints; it has to succeed, and to end."""
    try:
        done = subprocess.run(
            line,
            shell=isinstance(line, str),
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            timeout=PATIENCE_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        log = folder / "roles.log"
        roles = log.read_text() if log.exists() else "no role was started yet"
        pytest.fail(f"stood still: {line}\n{error.stdout!r}\n{error.stderr!r}\n{roles}")
    assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def test_roles_one_by_one(kafka: Broker, prefix: str, tmp_path: Path) -> None:
    for block in README:
        if block.file is not None:
            (tmp_path / block.file).parent.mkdir(exist_ok=True)
            (tmp_path / block.file).write_text(block.text)
    environment = os.environ | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "TASKER_BROKER": kafka.bootstrap_servers,
        "TASKER_PREFIX": prefix,
        "TASKER_CONSOLE__PORT": str(free_port()),
        "XDG_STATE_HOME": str(tmp_path / "state"),
    }
    printed: dict[str, str] = {}
    with ExitStack() as running:
        for written in the("sh", "tasker broker start").text.splitlines():
            line = written.partition("#")[0].strip()
            if line == "tasker broker start":
                continue  # the tests' own broker is there
            if line.startswith(ROLES):
                running.enter_context(role(f"exec {line}", tmp_path, environment))
                continue
            printed[line] = run(line, tmp_path, environment)
        program = the("python", "TaskClient.connect").text
        printed["program"] = run([sys.executable, "-c", program], tmp_path, environment)
    [submitted] = [text for line, text in printed.items() if "tasker submit" in line]
    assert submitted == the("json", "receipt").text
    assert "{'receipt': '2 cups, 3 minutes: 7.00'}" in printed["program"]
    assert "tea_shop/checkout" in printed["tasker task list"]
    assert "WRONG" not in printed["tasker doctor"]
