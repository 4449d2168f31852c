"""What holds of every command: it explains itself and its options, prints JSON, and stands in the reference."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import pytest
import typer

from tasker_kafka.deploy.cli.app import app
from tasker_kafka.deploy.cli.reference import commands, is_argument

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "cli.md"
COMMANDS: dict[str, Any] = dict(commands(typer.main.get_command(app), "tasker"))
RUNS: Final = "it runs until it is told to stop; what it says is its log"
GRAPH: Final = "--format json"
NO_JSON: Final = {
    "tasker dev": RUNS,
    "tasker orchestrator": RUNS,
    "tasker worker": RUNS,
    "tasker subscriber": RUNS,
    "tasker console": RUNS,
    "tasker projection run": RUNS,
    "tasker receipts watch": RUNS,
    "tasker task graph": GRAPH,
    "tasker template graph": GRAPH,
    "tasker console openapi": "what it prints is JSON",
}
"""Commands without --json, and why."""


@pytest.mark.parametrize("path", COMMANDS)
def test_a_command(path: str) -> None:
    command = COMMANDS[path]
    first = (command.help or "").strip().splitlines()[0]
    assert first.endswith("."), "a sentence says what it does"
    names = {name for each in command.params for name in each.opts}
    assert ("--json" in names) is (path not in NO_JSON), "JSON, or a reason"
    for each in command.params:
        help_text = getattr(each, "help", None)
        assert help_text or each.name == "help", f"{each.name} is not explained"
        if is_argument(each):
            assert each.metavar, f"{each.name} has no name of its own"
    assert f"| `{path}" in PAGE.read_text(), "run `python -m tasker_kafka.deploy.cli.reference`"


@pytest.mark.parametrize("path", [path for path in COMMANDS if path not in NO_JSON])
def test_json_is_the_last_option(path: str) -> None:
    """What is meant comes first, then how it is done, then how it is printed."""
    options = [each for each in COMMANDS[path].params if not is_argument(each) and each.name != "help"]
    assert "--json" in options[-1].opts


EXAMPLES: Final = [
    (path, line.strip())
    for path, command in COMMANDS.items()
    for line in (command.epilog or "").splitlines()
    if "tasker " in line
]


@pytest.mark.parametrize(("path", "line"), EXAMPLES)
def test_an_example_is_a_call_of_its_command(path: str, line: str) -> None:
    words = shlex.split(line.rpartition("| ")[2])
    own = path.split()
    assert words[: len(own)] == own
    COMMANDS[path].make_context(path, words[len(own) :])


def test_there_are_examples() -> None:
    assert len(EXAMPLES) >= 15


def test_every_reason_is_of_a_command() -> None:
    assert set(NO_JSON) <= set(COMMANDS)


# ------------------------------------------------------------------------------------------------ completion

SHELLS: Final = {
    "bash": lambda words: {"COMP_WORDS": " ".join(words), "COMP_CWORD": str(len(words) - 1)},
    "zsh": lambda words: {"_TYPER_COMPLETE_ARGS": " ".join(words)},
    "fish": lambda words: {
        "_TYPER_COMPLETE_ARGS": " ".join(words),
        "_TYPER_COMPLETE_FISH_ACTION": "get-args",
    },
}


def completions(shell: str, *words: str) -> str:
    """What a shell is told when the last word is completed."""
    environment = {**os.environ, "_TASKER_COMPLETE": f"complete_{shell}", **SHELLS[shell](words)}
    code = "from tasker_kafka.deploy.cli import main; main()"
    return subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
    ).stdout


@pytest.mark.slow
@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize(
    ("words", "there", "not_there"),
    [
        (("tasker", "task", "set-"), ("set-reason", "set-tags"), ("cancel",)),
        (("tasker", "task", "list", "--st"), ("--state",), ("--tag",)),
        (("tasker", "task", "list", "--state", "wait"), ("waiting_for_retry",), ("complete",)),
        (("tasker", "task", "retry", "--state", "blo"), ("blocked_by_failures",), ("error",)),
        (("tasker", "stale", "list", "--status", "pen"), ("pending",), ("resolved",)),
    ],
)
def test_completion(
    shell: str, words: tuple[str, ...], there: tuple[str, ...], not_there: tuple[str, ...]
) -> None:
    found = completions(shell, *words)
    assert all(each in found for each in there)
    assert not any(each in found for each in not_there)


@pytest.mark.slow
@pytest.mark.parametrize("shell", SHELLS)
def test_the_script_of_a_shell_is_printed(shell: str) -> None:
    environment = {**os.environ, "_TASKER_COMPLETE": f"source_{shell}"}
    code = "from tasker_kafka.deploy.cli import main; main()"
    ran = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
    )
    assert f"complete_{shell}" in ran.stdout


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash here")
def test_a_real_bash_completes(tmp_path: Path) -> None:
    """The script as a user sources it, asked as bash asks it."""
    tasker = tmp_path / "tasker"
    tasker.write_text(f'#!/bin/sh\nexec {sys.executable} -m tasker_kafka.deploy.cli "$@"\n')
    tasker.chmod(0o755)
    script = (
        'eval "$(_TASKER_COMPLETE=source_bash tasker)"; '
        "COMP_WORDS=(tasker task list --state wait); COMP_CWORD=4; "
        "_tasker_completion tasker; echo ${COMPREPLY[@]}"
    )
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    ran = subprocess.run(["bash", "-c", script], env=environment, capture_output=True, text=True, check=False)
    assert ran.stdout.split() == ["waiting_for_dependencies", "waiting_for_retry"], ran.stderr
