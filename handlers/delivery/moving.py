"""Jobs on their way to retry topics: heads that have failed, those who wait behind them, and what has lain there for
long.

A retry topic keeps its records for a time, and what waits may wait longer: behind many failing events of its key,
behind an open breaker, in a lane that stands still. So whoever holds a job writes its record again when half of that
time is over (`renew`), in slices. As with every move the older record counts as finished only when the newer one is
acknowledged; a crash between the two leaves two copies of one job, and `lanes` says what becomes of them.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Final

from tasker_kafka.schemas.errors import RecordTooLarge
from tasker_kafka.topics.log import TopicPartitionOffset

from .crash_points import DeliveryCrashPoint
from .dead_letters import retry, shortened
from .equipment import Equipment
from .jobs import Job, JobState, LaneOwner
from .journey import Journey
from .lanes import PartitionLanes
from .policy import REDRIVE_TIER, tiers_of

__all__ = ["Mover"]

_logger = logging.getLogger(__name__)

_SLOW_MS: Final = 1_000
"""A handler that runs for this long may let its successors wait elsewhere."""
_SLICE: Final = 200
"""Records of a member that are being written at once, when old ones are written again."""


class Mover:
    """Of one member. `wake`: called when a lane may have become ready."""

    def __init__(self, equipment: Equipment, wake: Callable[[], None]) -> None:
        self._equipment = equipment
        self._log = equipment.log
        self._settings = equipment.settings
        self._figures = equipment.figures
        self._reached = equipment.crash_points.reached
        self._wake = wake
        self._relieved_at = 0

    def topic_of(self, tier: str) -> str:
        """The group's retry topic of a tier."""
        return self._equipment.names.retry(self._equipment.spec.group, tier)

    def move(self, job: Job, topic: str, journey: Journey) -> None:
        """Write it to a retry topic; what it lay in before counts as finished when that is acknowledged."""
        job.lane.owner.move(job, journey)
        self._equipment.tasks.start(self._write(job, topic, journey))

    def move_surplus(self, lanes: LaneOwner) -> None:
        """Successors of parked heads go to the same retry topic."""
        surplus, lanes.surplus = lanes.surplus, []
        for job, topic in surplus:
            if lanes.can_move(job):
                self.move(job, topic, self._journey_of(job))

    def relieve(self, parts: Sequence[PartitionLanes]) -> None:
        """Memory is full: those who wait behind something slow go to a retry topic, so that others can go on."""
        now = self._log.now_ms()
        if now - self._relieved_at < _SLOW_MS // 5:
            return
        self._relieved_at = now
        for each in parts:
            if each.parked >= self._settings.parked or each.parked_bytes >= self._settings.parked_bytes:
                continue
            for job in each.stuck_successors(now - _SLOW_MS):
                tiers = tiers_of((self._equipment.subscriptions[job.subscription].policy,))
                topic = self.topic_of(tiers[0].name if tiers else REDRIVE_TIER)
                if topic in each.places and job.state is JobState.WAITING:
                    self.move(job, topic, self._journey_of(job))

    def renew(self, parts: Sequence[PartitionLanes]) -> None:
        """Write again what has lain in a topic for half of the time that it is kept there."""
        now = self._log.now_ms()
        room = _SLICE - sum(each.moving for each in parts)
        for each in parts:
            if each.is_closed or room <= 0:
                continue
            aged = each.aged(now, room)
            room -= len(aged)
            for job in aged:
                self._figures.renewed += 1
                self.move(job, job.stored_in or self.topic_of(REDRIVE_TIER), self._journey_of(job))

    async def _write(self, job: Job, topic: str, journey: Journey) -> None:
        lanes = job.lane.owner
        self._reached(DeliveryCrashPoint.RETRY_BEGUN)
        place = await self._written(job, topic, journey)
        if place is None:
            lanes.stay(job, self._log.now_ms())
        else:
            self._reached(DeliveryCrashPoint.RETRY_WRITTEN)
            self._figures.parked += 1
            lanes.moved(job, place, self._log.now_ms())
            self._equipment.on_news()
        self.move_surplus(lanes)
        self._wake()

    async def _written(self, job: Job, topic: str, journey: Journey) -> TopicPartitionOffset | None:
        """Where it lies; None: that topic will never take it."""
        for each in (journey, shortened(journey)):
            try:
                return await self._equipment.writer.write(retry(topic, job.record, each))
            except RecordTooLarge as error:
                refusal = error.message
        _logger.warning("%s waits where it is, its retry topic does not take it: %s", job, refusal)
        return None

    def _journey_of(self, job: Job) -> Journey:
        if job.journey is not None:
            return job.journey
        event_id = None if job.event is None else job.event.event_id
        name = self._equipment.subscriptions[job.subscription].name
        return self._equipment.journey_of(job.record, name, event_id)
