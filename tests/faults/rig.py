"""What a fault can lay hands on, and what it has to say afterwards."""

from __future__ import annotations

import random
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from tasker_kafka.topics.kafka import KafkaLog
from tasker_kafka.topics.names import TopicNames
from tests.checker import LedgerWriter
from tests.faults.brokers import Brokers
from tests.faults.fleet import Fleet
from tests.faults.load import Load
from tests.faults.observer import Observer
from tests.faults.wires import Wire

__all__ = ["QUEUE", "RECOVERY_SECONDS", "SESSION_MS", "Inject", "Outcome", "Rig", "now_ms"]

SESSION_MS: Final = 3_000
"""Session timeout of orchestrators and workers."""
RECOVERY_SECONDS: Final = 60.0
"""A partition that decides nothing new for so long after a fault is stalled."""
QUEUE: Final = "default"


def now_ms() -> int:
    """Wall time, which the broker on this machine has, too."""
    return time.time_ns() // 1_000_000


@dataclass
class Outcome:
    """One fault, as it was. `bit` False: it did not do what it should, which fails the run."""

    bit: bool
    proof: dict[str, Any]
    at: int
    """When it took effect, ms."""
    partitions: Mapping[int, int] = field(default_factory=dict)
    """Partitions that it took from their owner, with that owner's number; -1: the owner may stay."""
    since: int = 0
    """From when on a record shows that the partition goes on, ms; 0: from `at`."""
    workers: tuple[int, ...] = ()
    """Worker processes that it took away."""
    stalled: tuple[int, ...] = ()
    """Partitions that did not go on within `RECOVERY_SECONDS`."""
    mended_ms: tuple[int, ...] = ()
    """How long it took until all was well again, where neither partitions nor workers tell it."""


@dataclass
class Rig:
    """The system under test and who watches it."""

    fleet: Fleet
    brokers: Brokers
    log: KafkaLog
    names: TopicNames
    load: Load
    observer: Observer
    ledger: LedgerWriter
    ledger_folder: Path
    store: Path
    """The projection's."""
    wires: Mapping[str, Wire]
    """Each role's way to the broker; empty: all go straight to it."""
    orchestrators: int
    workers: int

    def owned(self, name: str) -> dict[int, int]:
        """Partitions that an orchestrator owns, with its owner numbers; not those of its earlier lives."""
        since = round(self.fleet.roles[name].started_at * 1000)
        return self.observer.owned_by(name.removeprefix("orchestrator"), since)

    def all_owned(self) -> dict[int, int]:
        """Every partition with the number of its owner in office."""
        found = {number: self.observer.owner(number) for number in self.observer.views}
        return {number: -1 if owner is None else owner.number for number, owner in found.items()}

    async def restore(self) -> None:
        """Every role up and going, but for guests."""
        for name, role in self.fleet.roles.items():
            self.fleet.go_on(name)
            kind, _, number = name.rpartition("-")
            if not role.is_running and not (kind == "orchestrator" and int(number) >= self.orchestrators):
                await self.fleet.start(kind, int(number))

    async def calm(self, seconds: float = 30.0) -> bool:
        """Wait until every running orchestrator owns something, and all is owned by running ones."""

        def is_calm() -> bool:
            names = self.fleet.names("orchestrator")
            shares = [len(self.owned(name)) for name in names]
            return all(shares) and sum(shares) == len(self.observer.views)

        return await self.observer.until(is_calm, seconds)

    async def stalled(self, partitions: Mapping[int, int], since_ms: int) -> tuple[int, ...]:
        """Wait until these partitions go on: those that do not."""
        wanted = dict(partitions)
        if await self.observer.go_on(wanted, since_ms, RECOVERY_SECONDS):
            return ()
        views = self.observer.views
        return tuple(
            number
            for number, owner in wanted.items()
            if views[number].next_accepted(since_ms, owner_above=owner) is None
        )

    async def retaken(self, name: str, before: Mapping[int, int], seconds: float) -> dict[int, int]:
        """Wait until an orchestrator has become owner anew: its partitions, with the numbers of before."""

        def found() -> dict[int, int]:
            return {part: before[part] for part, number in self.owned(name).items() if number > before[part]}

        await self.observer.until(lambda: bool(found()), seconds)
        return found()

    async def members(self, group: str) -> list[str]:
        """The ids of a group's members."""
        return await self.log._lookup.group_members(group)


Inject = Callable[[Rig, random.Random], Awaitable[Outcome]]
"""Injects one fault and proves it."""
