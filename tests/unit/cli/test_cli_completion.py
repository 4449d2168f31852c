"""Completion: words from the log, silence where there are none, and the scripts in real shells."""

from __future__ import annotations

import os
import pty
import re
import select
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from tasker_kafka.deploy.cli import completing, session
from tasker_kafka.deploy.cli.app import app
from tasker_kafka.schemas.errors import BrokerUnavailable
from tasker_kafka.topics.memory import MemoryCluster, MemoryLog
from tests.support.completing import environment, put_program

Tasker = Callable[..., Any]


@pytest.fixture
def complete(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """The words that zsh is told when the last one given is completed; the log may take its time."""
    monkeypatch.setattr(completing, "LIMIT_SECONDS", 60.0)

    def ask(*words: str) -> list[str]:
        asked = {"_TASKER_COMPLETE": "complete_zsh", "_TYPER_COMPLETE_ARGS": " ".join(("tasker", *words))}
        told = CliRunner().invoke(app, [], env=asked, prog_name="tasker")
        assert told.exit_code == 0
        return re.findall(r'"(.*)"', told.stdout)

    return ask


class TestFromTheLog:
    @pytest.mark.parametrize(
        ("words", "found"),
        [
            (("template", "show", "shop/orp"), ["shop/orphan", "shop/orphan@0.1.0"]),
            (("template", "graph", "shop/order@"), ["shop/order@0.1.0"]),
            (("submit", "--template", "shop/order@"), ["shop/order@0.1.0"]),
            (("what-if", "shop/orp"), ["shop/orphan", "shop/orphan@0.1.0"]),
            (("what-if", "x", "--version", "0"), ["0.1.0"]),
            (("task", "list", "--template", "or"), ["order", "orphan"]),
            (("task", "list", "--namespace", "s"), ["shop"]),
            (("task", "cancel", "--namespace", "s"), ["shop"]),
            (("as-of", "2h", "--namespace", "s"), ["shop"]),
            (("as-of", "2h", "--template", "orp"), ["orphan"]),
            (("as-of", "2h", "--state", "blo"), ["blocked_by_failures"]),
            (("diff", "2h", "now", "--template", "orp"), ["orphan"]),
            (("diff", "2h", "now", "--state", "blo"), ["blocked_by_failures"]),
            (("diff", "2h", "now", "--kind", "reo"), ["reopened"]),
            (("dlq", "list", "--namespace", "s"), ["shop"]),
            (("catalog", "events", "--namespace", "s"), ["shop"]),
            (("template", "show", "nothing"), []),
        ],
    )
    def test_words(
        self, system: Tasker, complete: Callable[..., list[str]], words: tuple[str, ...], found: list[str]
    ) -> None:
        assert complete(*words) == found

    def test_steps_of_the_task_that_is_named(
        self, system: Tasker, complete: Callable[..., list[str]], tmp_path: Path
    ) -> None:
        cart = tmp_path / "cart.json"
        cart.write_text('{"total": 500}')
        sent = system("submit", str(cart), "--template", "shop/order", "--wait", "--json").json
        task = sent["task_id"]
        assert complete("step", "retry", task, "r") == ["reserve"]
        assert complete("step", "retry", task, "reserve", "c") == ["charge"]
        assert complete("step", "resolve", task, "charge", "c") == [], "it is named already"
        assert complete("step", "set-max-attempts", task, "ch") == ["charge"]
        assert complete("step", "complete", "no-id", "ch") == []

    def test_groups(
        self, system: Tasker, complete: Callable[..., list[str]], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from tasker_kafka.handlers.delivery.groups import GroupRegistry

        async def refresh(registry: GroupRegistry) -> dict[str, Any]:
            return {"billing": None, "books": None, "mail": None}

        monkeypatch.setattr(GroupRegistry, "refresh", refresh)
        assert complete("subscriber", "show", "b") == ["billing", "books"]
        assert complete("dlq", "redrive", "--group", "bo") == ["books"]
        assert complete("receipts", "list", "--group", "m") == ["mail"]


class TestSilence:
    def test_a_broker_that_is_away(
        self, tasker: Tasker, complete: Callable[..., list[str]], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def away(settings: object) -> MemoryLog:
            raise BrokerUnavailable("nobody answers")

        monkeypatch.setattr(session, "connect", away)
        assert complete("template", "show", "s") == []

    def test_a_broker_that_does_not_answer(
        self, tasker: Tasker, complete: Callable[..., list[str]], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        import threading

        answered = threading.Event()

        class Hanging(MemoryLog):
            async def start(self) -> None:
                answered.wait()

        monkeypatch.setattr(session, "connect", lambda settings: Hanging(MemoryCluster()))
        monkeypatch.setattr(completing, "LIMIT_SECONDS", 0.05)
        assert complete("template", "show", "s") == []
        answered.set()

    @pytest.mark.parametrize(
        "broken", [{"TASKER_BROKER": "127.0.0.1:1"}, {"TASKER_ENGINE__ORDINAL": "first"}], ids=str
    )
    def test_nothing_is_printed_and_no_traceback(self, broken: dict[str, str]) -> None:
        asked = {"_TASKER_COMPLETE": "complete_bash", "COMP_WORDS": "tasker\ntemplate\nshow\ns"}
        ran = subprocess.run(
            [sys.executable, "-m", "tasker_kafka.deploy.cli"],
            env={**os.environ, **asked, "COMP_CWORD": "3", **broken},
            capture_output=True,
            text=True,
            check=False,
        )
        assert (ran.returncode, ran.stdout.strip(), ran.stderr) == (0, "", "")


class TestBashWords:
    @pytest.mark.parametrize(
        ("words", "place", "joined"),
        [
            ("tasker template show shop/order @ 1.", 5, "tasker template show shop/order@1."),
            ("tasker template show shop/order @", 4, "tasker template show shop/order@"),
            ("tasker as-of @ 153", 3, None),
            ("tasker template show shop/order", 3, None),
        ],
    )
    def test_a_version_is_one_word(self, words: str, place: int, joined: str | None) -> None:
        given = {"COMP_WORDS": words.replace(" ", "\n"), "COMP_CWORD": str(place)}
        before = dict(given)
        assert completing.join_bash_words(given) is (joined is not None)
        if joined is None:
            assert given == before
            return
        assert given["COMP_WORDS"].split("\n") == joined.split()
        assert given["COMP_CWORD"] == str(len(joined.split()) - 1)

    def test_other_shells_are_left_alone(self) -> None:
        given: dict[str, str] = {"_TYPER_COMPLETE_ARGS": "tasker x"}
        assert not completing.join_bash_words(given)
        assert given == {"_TYPER_COMPLETE_ARGS": "tasker x"}


def missing(shell: str) -> pytest.MarkDecorator:
    """Skip where there is no such shell."""
    return pytest.mark.skipif(shutil.which(shell) is None, reason=f"no {shell} here")


@pytest.mark.slow
class TestRealShells:
    """The script as a user sources it, asked as the shell asks it."""

    @missing("bash")
    def test_bash(self, tmp_path: Path) -> None:
        put_program(tmp_path)
        script = (
            'eval "$(_TASKER_COMPLETE=source_bash tasker)"; '
            "COMP_WORDS=(tasker template show shop/orp); COMP_CWORD=3; "
            "_tasker_completion tasker; echo ${COMPREPLY[@]}; "
            "COMP_WORDS=(tasker template show shop/order @ 0); COMP_CWORD=5; "
            "_tasker_completion tasker; echo ${COMPREPLY[@]}"
        )
        ran = subprocess.run(
            ["bash", "-c", script], env=environment(tmp_path), capture_output=True, text=True, check=False
        )
        assert ran.stdout.splitlines() == ["shop/orphan shop/orphan@0.1.0", "0.1.0"], ran.stderr

    @missing("fish")
    def test_fish(self, tmp_path: Path) -> None:
        put_program(tmp_path)
        script = (
            'env _TASKER_COMPLETE=source_fish tasker | source; complete -C "tasker template show shop/orp"'
        )
        ran = subprocess.run(
            ["fish", "--no-config", "-c", script],
            env=environment(tmp_path),
            capture_output=True,
            text=True,
            check=False,
        )
        assert ran.stdout.split() == ["shop/orphan", "shop/orphan@0.1.0"], ran.stderr

    @missing("zsh")
    def test_zsh(self, tmp_path: Path) -> None:
        put_program(tmp_path)
        (tmp_path / ".zshrc").write_text(
            "autoload -U compinit; compinit -u; "
            'eval "$(_TASKER_COMPLETE=source_zsh tasker)"; PS1="ready> "; unsetopt ZLE_RPROMPT_INDENT\n'
        )
        child, terminal = pty.fork()
        if child == 0:
            os.execvpe("zsh", ["zsh", "-i"], environment(tmp_path))
        try:
            read_until(terminal, "ready> ")
            os.write(terminal, b"tasker template show shop/orp\t")
            read_until(terminal, "shop/orphan")
        finally:
            os.write(terminal, b"\x03\x04")
            os.close(terminal)
            os.waitpid(child, 0)


def read_until(terminal: int, wanted: str) -> None:
    """Until the terminal shows this, whatever moves its cursor in between. AssertionError when nothing more comes."""
    seen = b""
    while wanted not in re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]|[\x00-\x1f]", "", seen.decode(errors="replace")):
        ready, _, _ = select.select([terminal], [], [], 60)
        assert ready, seen
        seen += os.read(terminal, 4096)
