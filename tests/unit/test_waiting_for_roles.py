"""A test that waits for its system says at once, and in its own words, that a role of it has died."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from tasker_kafka.schemas.records import Transitions
from tests.support.system import System


class Deaf(System):
    """Its topics stay silent."""

    async def _looks(self) -> AsyncGenerator[list[tuple[bytes, Transitions]], None]:
        while True:
            yield []


def system_with(folder: Path, program: str) -> Deaf:
    """A system whose one role has run this program to its end."""
    system = Deaf("localhost:1", "t", folder)
    with (folder / "worker-0.log").open("wb") as log:
        system.roles["worker-0"] = subprocess.Popen([sys.executable, "-c", program], stdout=log, stderr=log)
    system.roles["worker-0"].wait()
    return system


async def test_a_role_that_has_died_ends_the_wait(tmp_path: Path) -> None:
    system = system_with(tmp_path, "print('the last line'); raise SystemExit(3)")
    with pytest.raises(AssertionError, match=r"worker-0 ended with 3:\s+the last line"):
        await system.wait_closed([b"task"])


def test_a_crash_is_no_end_that_a_test_wanted(tmp_path: Path) -> None:
    system = system_with(tmp_path, "import os; os.abort()")
    with pytest.raises(AssertionError, match="worker-0 ended with -6"):
        system.check_roles()


@pytest.mark.parametrize(
    "program", ["", "import os; os.kill(os.getpid(), 9)", "import os; os.kill(os.getpid(), 15)"]
)
def test_a_role_that_was_stopped_or_killed_is_no_finding(tmp_path: Path, program: str) -> None:
    system_with(tmp_path, program).check_roles()


def test_a_role_may_fail_where_the_test_says_so(tmp_path: Path) -> None:
    system = system_with(tmp_path, "raise SystemExit(3)")
    system.may_fail.add("worker-0")
    system.check_roles()
