"""Supervised children: started again when they end, left down when that would not help, none stopped by another."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

import pytest

from tasker_kafka.deploy.children import LOG_VARIABLE, PARENT_VARIABLE, Child, log_as_json
from tasker_kafka.deploy.supervising import Supervisor
from tasker_kafka.handlers.subscribing.backoff import Backoff
from tests.support.patience import PATIENCE_SECONDS

HELLO = "import os, sys, time; print('up', os.getpid(), flush=True);"
STAY = f"{HELLO} time.sleep(60)"


class Lines:
    """What children printed, with a way to wait for it."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, str]] = []
        self.more = asyncio.Event()

    def say(self, name: str, line: str) -> None:
        self.seen.append((name, line))
        self.more.set()

    def pids(self, name: str) -> list[int]:
        return [int(line.split()[1]) for each, line in self.seen if each == name and line.startswith("up ")]

    async def wait_for(self, name: str, times: int = 1) -> int:
        """Until it has been up so often: the newest process id."""
        while len(self.pids(name)) < times:
            self.more.clear()
            await asyncio.wait_for(self.more.wait(), PATIENCE_SECONDS)
        return self.pids(name)[-1]


def supervisor(lines: Lines, **codes: str) -> Supervisor:
    """Keeps a child of each name that runs this Python code."""
    children = [
        Child(name, [sys.executable, "-u", "-c", code], os.environ, lines.say) for name, code in codes.items()
    ]
    return Supervisor(children, make_backoff=lambda: Backoff(0.001, 0.001))


async def ended(running: asyncio.Task[int], supervised: Supervisor) -> int:
    """Its code after a stop."""
    await supervised.stop()
    return await asyncio.wait_for(running, PATIENCE_SECONDS)


async def test_one_that_is_killed_starts_again_and_the_other_stays() -> None:
    lines = Lines()
    supervised = supervisor(lines, a=STAY, b=STAY)
    running = asyncio.create_task(supervised.run())
    await lines.wait_for("b")
    for times in (1, 2):
        os.kill(await lines.wait_for("a", times), signal.SIGKILL)
    await lines.wait_for("a", 3)
    assert await ended(running, supervised) == 0
    assert len(lines.pids("b")) == 1


@pytest.mark.parametrize("code", [0, 1, 70, 75])
async def test_whatever_way_it_ends_it_starts_again(code: int) -> None:
    lines = Lines()
    supervised = supervisor(lines, a=f"{HELLO} sys.exit({code})", b=STAY)
    running = asyncio.create_task(supervised.run())
    await lines.wait_for("a", 3)
    assert await ended(running, supervised) == 0


@pytest.mark.parametrize("code", [77, 78])
async def test_one_that_must_not_start_again_stays_down(code: int) -> None:
    lines = Lines()
    supervised = supervisor(lines, a=f"{HELLO} sys.exit({code})", b=f"{HELLO} sys.exit(75)")
    running = asyncio.create_task(supervised.run())
    await lines.wait_for("a")
    await lines.wait_for("b", 4)
    assert await ended(running, supervised) == code
    assert len(lines.pids("a")) == 1


async def test_when_none_is_left_it_ends_with_the_code_of_the_first() -> None:
    lines = Lines()
    supervised = supervisor(lines, a="import sys; sys.exit(78)")
    assert await asyncio.wait_for(supervised.run(), PATIENCE_SECONDS) == 78


async def test_a_stop_does_not_wait_for_the_next_start() -> None:
    lines = Lines()
    child = Child("a", [sys.executable, "-c", f"{HELLO} sys.exit(1)"], os.environ, lines.say)
    supervised = Supervisor([child], make_backoff=lambda: Backoff(3600, 3600))
    running = asyncio.create_task(supervised.run())
    await lines.wait_for("a")
    assert await ended(running, supervised) == 0


async def test_one_that_cannot_be_started_is_tried_again(tmp_path: Path) -> None:
    lines = Lines()
    program = tmp_path / "later"
    child = Child("a", [str(program)], os.environ, lines.say)
    tried = asyncio.Event()

    class Counting(Backoff):
        def after(self, ran_seconds: float) -> float:
            tried.set()
            return 0.001

    supervised = Supervisor([child], make_backoff=Counting)
    running = asyncio.create_task(supervised.run())
    await asyncio.wait_for(tried.wait(), PATIENCE_SECONDS)
    program.write_text(f"#!{sys.executable}\n{STAY}\n")
    program.chmod(0o755)
    await lines.wait_for("a")
    assert await ended(running, supervised) == 0


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, None),
        ({LOG_VARIABLE: "json"}, None),
        ({PARENT_VARIABLE: "1"}, False),
        ({PARENT_VARIABLE: "1", LOG_VARIABLE: "text"}, False),
        ({PARENT_VARIABLE: "1", LOG_VARIABLE: "json"}, True),
    ],
)
def test_a_child_writes_its_log_as_its_parent_says(
    environment: dict[str, str], expected: bool | None
) -> None:
    assert log_as_json(environment) is expected
