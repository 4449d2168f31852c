"""The scenes of recovery: each lets one process be lost under load and says, in seconds, when others or its successor
went on. `test_recovery` asserts that nothing else was lost with it; `recovery_figures` runs them often and prints.
"""

from __future__ import annotations

import asyncio
import socket
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tasker_kafka.schemas.plan import Plan
from tasker_kafka.schemas.template import Template
from tests.checker.ledger import Started, read_ledger
from tests.support.system import PARTITIONS, System, running

from .recovery_watch import Watch, watching

__all__ = ["Scene", "one_step", "opened", "repeats_across", "starts_of", "starts_of_task"]

MODULE = "tests.faults.recovery_handlers"
LOAD_SECONDS = 0.05


def one_step(name: str, ledger: Path, *, handler: str = "recovery.work", **options: Any) -> Plan:
    """A template of one step. Options: `config` of the handler, and whatever `Template.step` takes."""
    config = {"ledger": str(ledger), **options.pop("config", {})}
    return Template(name).step("only", handler=handler, config=config, **options).compile()


def starts_of(ledger: Path) -> Counter[tuple[str, int, str, int]]:
    """How often each granted attempt's handler was started."""
    return Counter(map(_attempt, read_ledger(ledger).started))


def repeats_across(ledger: Path) -> int:
    """How many granted attempts' handlers were started by more than one process."""
    processes: dict[tuple[str, int, str, int], set[int]] = {}
    for start in read_ledger(ledger).started:
        processes.setdefault(_attempt(start), set()).add(start.worker)
    return sum(len(each) > 1 for each in processes.values())


def starts_of_task(starts: Counter[tuple[str, int, str, int]], task_id: bytes) -> int:
    """How often handlers of this task were started."""
    return sum(count for (task, *_), count in starts.items() if task == task_id.hex())


def _attempt(start: Started) -> tuple[str, int, str, int]:
    return start.task_id, start.life, start.step, start.attempt


@dataclass
class Scene:
    """A running system, what its log says, and the load on it."""

    system: System
    watch: Watch
    plans: Sequence[Plan]
    ledger: Path
    submitted: set[bytes]

    def start_worker(self, number: int) -> str:
        """A worker of the recovery handlers: its name."""
        return self.system.start_worker(number, module=MODULE)

    async def submit(self, plan: Plan, count: int) -> set[bytes]:
        """Submit tasks: their ids."""
        ids = set(await self.system.submit(plan, count))
        self.submitted |= ids
        return ids

    @asynccontextmanager
    async def load(
        self, plan: Plan, *, count: int = 4, pause_seconds: float = LOAD_SECONDS
    ) -> AsyncIterator[None]:
        """Submit `count` tasks with a pause after them, again and again until the end of the block."""
        is_over = asyncio.Event()

        async def submit() -> None:
            while not is_over.is_set():
                await self.submit(plan, count)
                await asyncio.sleep(pause_seconds)

        submitting = asyncio.create_task(submit())
        try:
            yield
        finally:
            is_over.set()
            await submitting

    @asynccontextmanager
    async def supervised(self, *names: str) -> AsyncIterator[list[int]]:
        """Start these roles again whenever they end, until the end of the block. The exit codes so far."""
        codes: list[int] = []
        self.system.may_fail.update(names)

        async def watch(name: str) -> None:
            while True:
                codes.append(await asyncio.to_thread(self.system.roles[name].wait))
                self.system.restart(name)

        watchers = [asyncio.create_task(watch(name)) for name in names]
        try:
            yield codes
        finally:
            for watcher in watchers:
                watcher.cancel()

    async def all_closed(self) -> None:
        """Wait until everything that was submitted is closed."""
        await self.watch.until_closed(self.submitted)

    # ------------------------------------------------------------------------------- orchestrators

    async def restart_of_the_only_orchestrator(self) -> float:
        """kill −9 and start again at once: seconds to the first new accepted transition."""
        moment = time.monotonic()
        self.system.kill("orchestrator-0")
        self.system.restart("orchestrator-0")
        return await self._first_of_all(moment, set(range(PARTITIONS)))

    async def takeover(self, victim: str, *, how: str) -> float:
        """End one of two orchestrators for good: seconds until each of its partitions has a new accepted transition.

        how: `kill` or `terminate`
        """
        await self._both_own()
        instance = f"{socket.gethostname()}-{victim.removeprefix('orchestrator-')}"
        partitions = {number for number, owner in self.watch.owners.items() if owner == instance}
        moment = time.monotonic()
        getattr(self.system.roles[victim], how)()
        seconds = await self._first_of_all(moment, partitions)
        await asyncio.to_thread(self.system.roles[victim].wait)
        return seconds

    async def _both_own(self) -> None:
        await self.watch.until(lambda: len(set(self.watch.owners.values())) > 1)

    async def _first_of_all(self, moment: float, partitions: set[int]) -> float:
        await self.watch.until(lambda: self.watch.firsts_since(moment, partitions).keys() == partitions)
        return max(self.watch.firsts_since(moment, partitions).values())

    # ------------------------------------------------------------------------------------- workers

    async def loss_of_a_worker(self, victim: str) -> float:
        """kill −9 of one of two workers: seconds until the last handler it was running has started elsewhere."""
        pid = self.system.roles[victim].pid
        moment_ms = time.time_ns() // 1_000_000
        self.system.kill(victim)
        ledger = read_ledger(self.ledger)
        ended = {(each.task_id, each.step) for each in ledger.ended if each.worker == pid}
        lost = {
            (each.task_id, each.step)
            for each in ledger.started
            if each.worker == pid and (each.task_id, each.step) not in ended
        }
        assert lost, "the victim ran nothing"
        again: dict[tuple[str, str], int] = {}
        while again.keys() != lost:
            await asyncio.sleep(LOAD_SECONDS)
            for each in read_ledger(self.ledger).started:
                if (each.task_id, each.step) in lost and each.worker != pid:
                    again.setdefault((each.task_id, each.step), each.at)
        return (max(again.values()) - moment_ms) / 1000

    async def busy_worker(self, count: int) -> str:
        """The first worker that has started `count` handlers; which one that is, depends on who joins first."""
        while True:
            started = [each.worker for each in read_ledger(self.ledger).started]
            for name, role in self.system.roles.items():
                if started.count(role.pid) >= count:
                    return name
            await asyncio.sleep(LOAD_SECONDS)

    async def started(self, count: int, *, by: str | None = None) -> None:
        """Wait until handlers have been started `count` times, by one worker or by all."""
        pid = None if by is None else self.system.roles[by].pid
        while sum(pid in {None, each.worker} for each in read_ledger(self.ledger).started) < count:  # noqa: ASYNC110 - a file has no event
            await asyncio.sleep(LOAD_SECONDS)


@asynccontextmanager
async def opened(
    bootstrap: str, prefix: str, folder: Path, plans: Sequence[Plan], *, orchestrators: int = 1
) -> AsyncIterator[Scene]:
    """A system of orchestrators that own their partitions, and no worker yet."""
    async with (
        running(bootstrap, prefix, folder, plans, orchestrators=orchestrators, workers=0) as system,
        watching(system) as watch,
    ):
        yield Scene(system, watch, plans, folder / "ledger", set())
