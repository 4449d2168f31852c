"""A folder of a user's, with what generators wrote into it, checked as its user would: tests, types, style."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.support.source_tree import ROOT

__all__ = ["Place"]

RULES = "A,ANN,ARG,ASYNC,B,C4,C90,DTZ,E,F,I,N,PGH,PIE,PL,PT,RUF,SIM,SLF,T20,TID,UP,W"
"""Families of rules that a user may have switched on."""
LEFT_OUT = "PLR2004"
"""Numbers in tests."""


@dataclass(frozen=True)
class Place:
    """A folder in which commands are run."""

    folder: Path

    def run(self, *command: str, is_ok: bool = True) -> str:
        """What a command printed; it must end as expected."""
        environment = {name: value for name, value in os.environ.items() if not name.startswith("TASKER_")}
        environment |= {"COLUMNS": "200", "PYTHONDONTWRITEBYTECODE": "1", "NO_COLOR": "1"}
        environment.pop("PYTHONPATH", None)
        result = subprocess.run(
            [sys.executable, "-m", *command],
            cwd=self.folder,
            env=environment,
            check=False,
            capture_output=True,
            text=True,
        )
        said = f"{result.stdout}\n{result.stderr}"
        assert (result.returncode == 0) == is_ok, f"{command} ended with {result.returncode}\n{said}"
        return said

    def tasker(self, *arguments: str, is_ok: bool = True) -> str:
        """What a command of `tasker` printed."""
        return self.run("tasker_kafka.deploy.cli", *arguments, is_ok=is_ok)

    def check(self, *, has_rules: bool = False, has_tests: bool = True, left_out: str = LEFT_OUT) -> None:
        """Run the tests, mypy and ruff. `has_rules`: by the folder's own settings, else by the strictest."""
        if has_tests:
            assert " passed" in self.run("pytest", "-q", "-p", "no:cacheprovider")
        cache = f"--cache-dir={ROOT / '.mypy_cache' / 'generated'}"
        self.run(
            "mypy",
            cache,
            *(() if has_rules else ("--strict", "--enable-error-code=ignore-without-code", ".")),
        )
        rules = () if has_rules else ("--isolated", "--select", RULES, "--ignore", left_out)
        self.run("ruff", "check", "--no-cache", *rules)
        self.run("ruff", "format", "--no-cache", "--check", *(() if has_rules else ("--isolated",)))

    def text(self, path: str) -> str:
        """The text of a file."""
        return (self.folder / path).read_text(encoding="utf-8")

    @property
    def files(self) -> set[str]:
        """Every file, as a path relative to the folder."""
        return {
            str(path.relative_to(self.folder))
            for path in self.folder.rglob("*")
            if path.is_file() and "__pycache__" not in path.parts
        }
