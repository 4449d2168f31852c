"""Commits what must be known before a delivery starts, when it may end its process. The rules are in `caution`.

1. a partition is taken over: commit that it is in use, before anything of it starts;
2. it is watched: name the next deliveries, commit, start them;
3. a suspect: nothing else runs in the process; charge it, commit, start it, and wait; then take the charge back and
   commit that before anything else starts: else the next loss would be held against it.

A crash before a commit leaves what the commit before said; one after it, that the delivery may have been running.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from tasker_kafka.handlers.watermark import Restored

from .caution import Caution, Place
from .desk import Desk
from .equipment import Equipment
from .jobs import Job
from .lanes import PartitionLanes

__all__ = ["Vigil"]


class Vigil:
    """Of one membership. `commit`: whether the log has taken what is to be committed now."""

    def __init__(self, equipment: Equipment, desk: Desk, commit: Callable[[], Awaitable[bool]]) -> None:
        self._equipment = equipment
        self._desk = desk
        self._commit = commit
        self._solitude = equipment.solitude
        self._news = asyncio.Event()
        self._cautions: dict[int, Caution] = {}

    def open(self, lanes: PartitionLanes, left: Sequence[tuple[str, Restored]]) -> None:
        """A partition number is ours; what its last owner has left of each topic."""
        suspects: dict[Place, int] = {}
        for topic, restored in left:
            suspects |= {(topic, offset): note for offset, note in restored.deliveries}
        lanes.caution = self._cautions[lanes.number] = Caution(
            lanes,
            self._desk.agenda,
            self._equipment.subscriptions,
            suspects,
            is_shaken=any(restored.is_open or restored.is_shaken for _, restored in left),
            width=self._equipment.spec.concurrency,
            on_news=self._news.set,
        )
        self._news.set()

    def is_shaken(self, number: int) -> bool:
        """Whether the next owner is to watch it, too."""
        caution = self._cautions.get(number)
        return caution is not None and caution.is_shaken

    def retract(self) -> None:
        """All is given back in order, or lost."""
        for each in self._cautions.values():
            each.retract()

    def close(self) -> None:
        """All is somebody else's."""
        for each in self._cautions.values():
            each.lanes.caution = None
        self._cautions = {}
        self._solitude.look()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await self._news.wait()
            self._news.clear()
            await self._round([each for each in self._cautions.values() if each.lanes.caution is not None])

    async def _round(self, cautions: list[Caution]) -> None:
        chosen = [(each, job) for each in cautions for job in each.choose()]
        if chosen or not all(each.is_opened for each in cautions):
            if not await self._is_committed(cautions):
                return
            for each in cautions:
                each.is_opened = True
            for each, job in chosen:
                each.clear(job)
        if any(each.alone for each in cautions):
            await self._deliver_alone(cautions)
        for each in cautions:
            if each.calm(self._equipment.log.now_ms()):
                each.lanes.caution = None
                for lane in each.let_all_go():
                    each.lanes.reschedule(lane)
                self._equipment.on_news()
        self._desk.wake()

    async def _deliver_alone(self, cautions: list[Caution]) -> None:
        async with self._solitude.held():
            for each in cautions:
                while (job := each.next_alone()) is not None:
                    await self._deliver(each, job)
            await self._is_committed(cautions)

    async def _deliver(self, caution: Caution, job: Job) -> None:
        caution.charge(job)
        try:
            if await self._is_committed([caution]):
                caution.clear_alone(job)
                self._desk.wake()
                await self._solitude.wait_quiet(lambda: caution.is_waiting(job))
        finally:
            caution.discharge(job)

    async def _is_committed(self, cautions: list[Caution]) -> bool:
        """Commit until it is taken; False when all of these are somebody else's before."""
        while any(not each.lanes.is_closed for each in cautions):
            if await self._commit():
                return True
            await asyncio.sleep(self._equipment.settings.retry_seconds)
        return False
