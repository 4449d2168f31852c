"""A broker and a system of real processes to measure, and an eye on them: figures of a system that broke are none."""

from __future__ import annotations

import asyncio
import os
import signal
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from tasker_kafka.schemas.plan import Plan
from tasker_kafka.topics.brokers import EmbeddedBroker, open_broker
from tasker_kafka.topics.log import TopicPartition, Write
from tests.bench.checkpoints import LogTail
from tests.bench.disk import log_bytes
from tests.bench.machine import cpu_seconds, rss_bytes, waited_seconds
from tests.bench.requests import RequestMaker
from tests.bench.window import Window
from tests.support.system import System

__all__ = [
    "LOAD",
    "ORCHESTRATOR",
    "BenchSystem",
    "BrokerAt",
    "RoleEnded",
    "Stage",
    "broker_at",
    "staged",
    "until_signal",
]

T = TypeVar("T")
_WATCH_SECONDS = 0.5
ORCHESTRATOR, WORKER, BROKER, LOAD = "orchestrator", "worker", "broker", "load"


class RoleEnded(Exception):
    """A role has ended before the load: the figures would be of something else."""


@dataclass(frozen=True)
class BrokerAt:
    """The broker to measure with. Process and folder are known of an embedded one only."""

    bootstrap: str
    pid: int | None = None
    log_dir: Path | None = None


@contextmanager
def broker_at() -> Iterator[BrokerAt]:
    """The broker of TASKER_BROKER, else an embedded one for this block."""
    broker = open_broker()
    try:
        if isinstance(broker, EmbeddedBroker):
            yield BrokerAt(broker.bootstrap_servers, broker.pid, broker.node.log_dir)
        else:
            yield BrokerAt(broker.bootstrap_servers)
    finally:
        broker.stop()


class BenchSystem(System):
    """A system whose orchestrators log their checkpoints, and that takes requests made beforehand."""

    entry_point = "tests.bench.role"

    def queue(self, writes: Sequence[Write]) -> None:
        """Hand over requests; they leave at once."""
        assert self._outbox is not None, "set_up comes first"
        for write in writes:
            self._outbox.send(write)

    async def flush(self) -> None:
        """Wait until all that was handed over is acknowledged."""
        assert self._outbox is not None, "set_up comes first"
        await self._outbox.flush()

    async def ends(self, topics: Sequence[str]) -> dict[TopicPartition, int]:
        """Where each partition of these topics ends now."""
        places = [
            TopicPartition(topic, number)
            for topic in topics
            for number in range(await self.log.partition_count(topic))
        ]
        return {place: await self.log.end_offset(place) for place in places}

    def log_of(self, role: str) -> Path:
        """The file with what a role prints."""
        return self._folder / f"{role}.log"


@dataclass
class Stage:
    """A running system and what can be read off its processes."""

    system: BenchSystem
    broker: BrokerAt
    first_task_seconds: float = 0.0
    """From creating the topics to the first finished task, the start of the roles included."""
    resting: set[str] = field(default_factory=set[str])
    """Roles that are meant to be down."""

    def pids(self) -> dict[str, list[int]]:
        """Process ids by kind of process; the load is this process."""
        found: dict[str, list[int]] = {ORCHESTRATOR: [], WORKER: [], LOAD: [os.getpid()]}
        for name, process in self.system.roles.items():
            if name not in self.resting:
                found.setdefault(name.rpartition("-")[0], []).append(process.pid)
        if self.broker.pid is not None:
            found[BROKER] = [self.broker.pid]
        return found

    def cpu(self) -> dict[str, float]:
        """CPU seconds so far, by kind of process."""
        return {kind: sum(map(cpu_seconds, pids)) for kind, pids in self.pids().items()}

    def waited(self) -> dict[str, float]:
        """Seconds ready to run without a processor so far, by kind of process."""
        return {kind: sum(map(waited_seconds, pids)) for kind, pids in self.pids().items()}

    def rss(self, kind: str = ORCHESTRATOR) -> int:
        """Resident bytes of a kind of process."""
        return sum(map(rss_bytes, self.pids()[kind]))

    def disk(self) -> dict[str, int] | None:
        """Bytes on disk by topic; None when the broker's folder is not known."""
        if self.broker.log_dir is None:
            return None
        own = f"{self.system.prefix}."
        return {topic.removeprefix(own): size for topic, size in log_bytes(self.broker.log_dir).items()}

    def tail(self) -> LogTail:
        """The orchestrators' logs from here on."""
        return LogTail(
            self.system.log_of(name) for name in self.system.roles if name.startswith(ORCHESTRATOR)
        )

    async def run(self, plan: Plan, tasks: int) -> None:
        """Run tasks to their end, all at once, measuring nothing: to warm up."""
        system = self.system
        window = await Window.open(system, plan)
        system.queue(RequestMaker(plan, system.names.task_requests).make(tasks))
        closed = 0
        following = window.follow_closed()
        try:
            while closed < tasks:
                closed += len(await anext(following))
        finally:
            await following.aclose()


async def _nothing(_: Stage) -> None:
    """Nothing is to be prepared."""


@asynccontextmanager
async def staged(
    broker: BrokerAt,
    plans: Sequence[Plan],
    *,
    orchestrators: int = 1,
    workers: int = 1,
    prepare: Callable[[Stage], Awaitable[None]] = _nothing,
) -> AsyncIterator[Stage]:
    """A system with these templates, whose first task is finished. A role that ends raises RoleEnded in a group.

    prepare: done when the topics are there and no role has started.
    """
    with tempfile.TemporaryDirectory(prefix="tasker-bench-") as folder:
        system = BenchSystem(broker.bootstrap, f"bench{time.time_ns() % 10**9}", Path(folder))
        stage = Stage(system, broker)
        try:
            began = time.perf_counter()
            await system.set_up(plans)
            await prepare(stage)
            for number in range(orchestrators):
                system.start_orchestrator(number)
            for number in range(workers):
                system.start_worker(number)
            async with asyncio.TaskGroup() as group:
                watch = group.create_task(_until_a_role_ends(stage))
                await stage.run(plans[0], 1)
                stage.first_task_seconds = time.perf_counter() - began
                yield stage
                watch.cancel()
        finally:
            await system.tear_down()


async def _until_a_role_ends(stage: Stage) -> None:
    """Raise RoleEnded with what the role has printed."""
    while True:
        for name, process in stage.system.roles.items():
            if name not in stage.resting and process.poll() is not None:
                raise RoleEnded(f"{name} ended with {process.returncode}:\n{stage.system.errors_of(name)}")
        await asyncio.sleep(_WATCH_SECONDS)


async def until_signal(work: Awaitable[T]) -> T:
    """Await `work`; the first SIGINT or SIGTERM cancels it, further ones do not disturb the end."""
    task = asyncio.ensure_future(work)
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    return await task
