"""Real lanes on a log in memory, in a random interleaving by seed, with everything they do on a tape.

Owners come one after the other; the older ones are killed, stand still and come back, die within a transaction, or go
on unaware. Writes are delayed at random. The last owner is left in peace until everything is decided and saved.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable

from tasker_kafka.schemas.codec import codec
from tasker_kafka.schemas.errors import TaskerError
from tasker_kafka.schemas.records import Dispatch
from tasker_kafka.streams.lane import EngineLane, LaneSettings
from tasker_kafka.topics.log import Record, TopicPartition
from tasker_kafka.topics.memory import MemoryLog
from tasker_kafka.topics.names import TopicNames
from tests.support.lane_world import LaneWorld, Owner

from .domain import TASK_ID, Domain
from .rules import DOUBTED, TRUSTED
from .scope import Scope
from .tape import DECIDING, Tape, WatchedCluster, WatchedLog, WatchedPoints

__all__ = ["Play"]

_LONGEST_SECONDS = 600
"""Of the virtual clock: lanes that have not come to an end by then never do."""


class Play:
    """One run. `commands` afterwards: what lies in the commands partition, by the domain's numbers."""

    def __init__(self, domain: Domain, scope: Scope, seed: int) -> None:
        self.domain = domain
        self.scope = scope
        self.tape = Tape(scope.releases)
        self.commands: list[int] = []
        self.owners: list[Owner] = []
        self._dice = random.Random(seed)
        self._names = TopicNames()
        latency, delay = self._dice.choice([0.0, 0.01]), self._dice.choice([0.0, 0.03])
        self.cluster = WatchedCluster(self._names, latency=latency, marker_delay=delay)
        self.world = LaneWorld(domain.plan)
        self.world.cluster = self.cluster
        self.world.log = MemoryLog(self.cluster)
        self._tasks: list[asyncio.Task[None]] = []

    async def run(self) -> None:
        """Play it to the end."""
        await self.world.open()
        await self.world.quiet()
        self.cluster.tape = self.tape
        for who in range(len(self.scope.releases)):
            await self._begin(who)
            for _ in range(self._dice.randrange(1, 9)):
                await self._disturb(who)
        last = self.owners[-1]
        for owner in self.owners[:-1]:
            owner.log.resume()
        async with asyncio.timeout(_LONGEST_SECONDS):
            while not self._is_over(last.lane):
                await self._client()
                await asyncio.sleep(0.05)
        await self.world.quiet()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _is_over(self, lane: EngineLane) -> bool:
        """Whether the last owner has decided and saved everything."""
        if not lane.is_live or len(self.commands) < self.scope.length:
            return False
        return lane.next_command == self.scope.length and lane.checkpoint_age == 0

    # ------------------------------------------------------------------------------------------ what happens

    async def _begin(self, who: int) -> None:
        """The next owner; returns once it has fenced the one before."""
        settings = LaneSettings(crash_points=WatchedPoints(who, self.tape), verify_folds=True)
        owner = Owner(self.world, 0, settings, f"owner-{who}")
        owner.log = WatchedLog(self.cluster, self._names, who, self.tape)
        self.owners.append(await owner.prepare())
        self._tasks.append(asyncio.create_task(self._live(who, owner)))
        await self.tape.seen(who)

    async def _disturb(self, who: int) -> None:
        """A moment passes, and something may go wrong with the newest owner (the last one is spared)."""
        await self._client()
        await asyncio.sleep(self._dice.choice([0.0, 0.005, 0.02, 0.05]))
        if self._dice.random() < 0.3:
            topic = self._dice.choice([self._names.transitions, self._names.steps("model")])
            self.cluster.faults.delay_writes(self._dice.choice([0.02, 0.1, 0.4]), topic)
        if who == len(self.scope.releases) - 1 or self._dice.random() < 0.6:
            return
        owner = self.owners[who]
        wrong: list[Callable[[], object]] = [lambda: self._kill(who), owner.log.pause, owner.log.resume]
        self._dice.choice(wrong)()
        if self._dice.random() < 0.2:
            writer = self._names.engine_writer(0)
            self.cluster.faults.hold_commits(writer)
            await asyncio.sleep(0.1)
            self._kill(who)
            self.cluster.faults.release_commits(writer)

    def _kill(self, who: int) -> None:
        if not self._is_dead(who):
            self.tape.note(who, "dies; what has not arrived is lost")
            self.owners[who].log.kill()

    def _is_dead(self, who: int) -> bool:
        return self.owners[who].log._process.is_killed

    async def _live(self, who: int, owner: Owner) -> None:
        """Take the partition, then decide and save until the end."""
        DECIDING.set((who, self.scope.releases[who]))
        try:
            await owner.lane.acquire()
            await asyncio.gather(self._feed(owner), self._save(owner.lane))
        except TaskerError:
            await owner.plans.stop()

    async def _feed(self, owner: Owner) -> None:
        while True:
            batch = await owner.fetch(timeout=0.5)
            if batch is not None:
                await owner.lane.process(batch)
            await asyncio.sleep(self._dice.choice([0.0, 0.01, 0.03]))

    async def _save(self, lane: EngineLane) -> None:
        while True:
            await asyncio.sleep(self._dice.choice([0.0, 0.01, 0.03, 0.1]))
            await lane.checkpoint()

    async def _client(self) -> None:
        """The request, or a worker's answer to some dispatch that has arrived."""
        if len(self.commands) == self.scope.length or self._dice.random() < 0.4:
            return
        command = self.domain.start
        if self.commands:
            arrived = [each.detail for each in self.tape.effects if each.what == "an output arrives"]
            if not arrived:
                return
            chosen = self._dice.choice(arrived[-3:])
            assert isinstance(chosen, tuple)
            dispatch = codec.decode(chosen[2], Dispatch)
            command = self.domain.answer(dispatch, self._dice.choice([TRUSTED, TRUSTED, DOUBTED]))
        value = codec.encode(self.domain.commands[command])
        self.commands.append(command)
        offset = await self.world.raw(self._names.commands, TASK_ID, value, partition=0)
        assert offset == len(self.commands) - 1

    # ------------------------------------------------------------------------------------------ afterwards

    def transitions(self) -> list[Record | None]:
        """The transitions partition, offset by offset; None: a control record."""
        store = self.cluster.store(TopicPartition(self._names.transitions, 0))
        return [each.record for each in store._entries]

    def changelog(self) -> list[Record]:
        """What is committed in it."""
        return self.world.records(self._names.task_state, 0)
