"""Pytest for the stages on a real broker: a test that fails is run once more, alone, and never in silence.

Such a test can fail because a machine was busy for a minute, and one such test among hundreds would hide what the
rest of the run says. So it gets one second chance, in a session of its own, after everything else has ended. What
then passes is told as flaky, by name, in lines that CI repeats at its end; what fails twice has failed. Tests that
need no broker never get one: whatever makes those differ between two runs is a defect. `docs/decisions/0046`
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from typing import Final

import pytest

__all__ = ["FLAKY", "MOST", "run"]

FLAKY: Final = "flaky: "
"""Begins a line that names a test which failed and then passed."""
AGAIN: Final = "again: "
"""Begins each line of the second session, so that nobody counts its tests twice."""
MOST: Final = 5
"""If more tests fail than that, the machine is no excuse."""
ALONE: Final = ("-p", "no:xdist", "-q", "-ra")


class _Failed:
    """A plugin that remembers which tests failed, in which part whatever; in the controller also with workers."""

    def __init__(self) -> None:
        self.names: dict[str, None] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self.names[report.nodeid] = None


def run(arguments: Sequence[str]) -> int:
    """Run pytest with these arguments, then what failed once more: 0 when all passed at last, else pytest's code."""
    failed = _Failed()
    code = int(pytest.main(list(arguments), plugins=[failed]))
    names = list(failed.names)
    if code != pytest.ExitCode.TESTS_FAILED or not 0 < len(names) <= MOST:
        return code
    still = [name for name in names if not _passes_alone(name)]
    print()
    for name in names:
        print(f"failed twice: {name}" if name in still else f"{FLAKY}{name} failed, and passed alone")
    sys.stdout.flush()
    return code if still else 0


def _passes_alone(name: str) -> bool:
    with subprocess.Popen(
        [sys.executable, "-m", "pytest", *ALONE, name],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as session:
        assert session.stdout is not None
        for line in session.stdout:
            print(f"{AGAIN}{line}", end="", flush=True)
    return session.returncode == 0


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
