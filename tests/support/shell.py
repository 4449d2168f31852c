"""Runs `tasker` as processes, as users do: a command to its end, a role until it is told to stop."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from .patience import PATIENCE_SECONDS
from .source_tree import ROOT

SECONDS = PATIENCE_SECONDS
TASKER = (sys.executable, "-m", "tasker_kafka.deploy.cli")


class Shell:
    """Runs `tasker` in one environment."""

    def __init__(self, environment: dict[str, str]) -> None:
        self.environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", **environment}

    def run(self, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """A command to its end."""
        return subprocess.run(
            [*TASKER, *arguments],
            env=self.environment,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )

    def json(self, *arguments: str, stdin: str = "") -> Any:
        """A command that works, as JSON."""
        ran = self.run(*arguments, "--json", stdin=stdin)
        assert ran.returncode == 0, ran.stderr
        return json.loads(ran.stdout)

    @contextmanager
    def role(self, *arguments: str, ready: str) -> Iterator[subprocess.Popen[str]]:
        """A process that runs for long: started when it has printed `ready`, ended with its own SIGTERM."""
        with self.program(*TASKER, *arguments, ready=ready) as process:
            yield process

    @contextmanager
    def program(self, *command: str, ready: str) -> Iterator[subprocess.Popen[str]]:
        """As `role`, of any command."""
        process = subprocess.Popen(
            command,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        lines = Lines(process)
        try:
            lines.wait_for(ready)
            yield process
            process.send_signal(signal.SIGTERM)
            assert process.wait(SECONDS) == 0, lines.text
        finally:
            process.kill()
            process.wait()


class Lines:
    """What a process prints, read as it comes."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.text = ""
        self._lines: queue.Queue[str | None] = queue.Queue()
        threading.Thread(target=self._read, args=(process,), daemon=True).start()

    def wait_for(self, part: str) -> None:
        """Until a line holds this."""
        while part not in self.text:
            line = self._lines.get(timeout=SECONDS)
            assert line is not None, f"ended without {part!r}:\n{self.text}"
            self.text += line

    def _read(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            self._lines.put(line)
        self._lines.put(None)
