"""From records as fetched to jobs: filters on headers first, then decoding, then filters on fields.

What is no event goes to the dead letters as it is, at once: it waits for nothing, and nothing waits for it but the
commit past its place.
"""

from __future__ import annotations

import logging

import msgspec

from tasker_kafka.handlers.errors import PermanentError
from tasker_kafka.schemas.errors import DecodeError, TaskerError
from tasker_kafka.schemas.words import Delivery
from tasker_kafka.topics.log import Record

from .decoding import CE_TYPE, decode_event
from .equipment import Equipment
from .failures import DeliveryFailure, failure_of, unread
from .journey import Journey
from .lanes import PartitionLanes
from .room import LooseRoom
from .verdicts import DeadLetter, after_failure

__all__ = ["Intake"]

_logger = logging.getLogger(__name__)


class Intake:
    """Of one member."""

    def __init__(self, equipment: Equipment) -> None:
        self.room = LooseRoom(equipment.spec.queued, equipment.settings.loose_seconds)
        """For fire-and-forget events; whoever reads looks after it."""
        self._equipment = equipment
        self._subscriptions = equipment.subscriptions
        self._figures = equipment.figures
        self._metrics = equipment.metrics
        self._undertaker = equipment.undertaker
        self._settings = equipment.settings
        self._log = equipment.log

    def take_source(self, lanes: PartitionLanes, record: Record) -> None:
        """A record of a source: its jobs, if some subscription takes it."""
        headers = dict(record.headers)
        name = headers.get(CE_TYPE)
        subscriptions = self._subscriptions
        if name is not None:
            wanted = subscriptions.of(name.decode("utf-8", "replace"))
            if not any(each.takes_headers(headers) for each in wanted):
                self._skip(lanes, record)
                return
        try:
            event = decode_event(record, self._equipment.codec)
        except Exception as error:
            self._bury_unread(lanes, record, error)
            return
        takers = []
        for each in subscriptions.of(event.name):
            if each.has_filters and not (each.takes_headers(headers) and each.takes_fields(event.payload)):
                self._figures.filtered += 1
            elif each.mode(event) is not Delivery.FIRE_AND_FORGET:
                takers.append((each.index, False))
            elif self.room.take():
                takers.append((each.index, True))
            else:
                self._figures.dropped += 1
                self._metrics.dropped(event)
        if takers:
            lanes.admit(record, event, takers)
        else:
            self._skip(lanes, record)

    def take_stored(self, lanes: PartitionLanes, stored: Record) -> None:
        """A record of one of the group's retry topics."""
        try:
            original, journey = self._undertaker.unwrapped(stored)
        except DecodeError as error:
            self._bury_unread(lanes, stored, error)
            return
        if journey.subscription:
            prepared = self._subscriptions.named(journey.subscription)
            if prepared is not None:
                lanes.admit_stored(stored, original, {prepared.index: journey})
                return
            failure = failure_of(PermanentError(f"this release has no subscription {journey.subscription}"))
            self._start_burying(lanes, stored, (original, journey), failure)
            return
        self._take_redriven(lanes, stored, original, journey)

    def _take_redriven(
        self, lanes: PartitionLanes, stored: Record, original: Record, journey: Journey
    ) -> None:
        """A record that could not be read, and was edited: for every subscription that takes it now."""
        try:
            event = decode_event(original, self._equipment.codec)
        except Exception as error:
            self._start_burying(lanes, stored, (original, journey), unread(error))
            return
        takers = {
            each.index: msgspec.structs.replace(
                journey, subscription=each.name, event_id=event.event_id, failure_class=None
            )
            for each in self._subscriptions.of(event.name)
            if each.takes_headers(dict(original.headers)) and each.takes_fields(event.payload)
        }
        if takers:
            lanes.admit_stored(stored, original, takers)
        else:
            self._skip(lanes, stored)

    def _skip(self, lanes: PartitionLanes, record: Record) -> None:
        self._figures.skipped += 1
        lanes.skip(record.topic, record.offset)
        self._equipment.on_news()

    def _bury_unread(self, lanes: PartitionLanes, record: Record, error: Exception) -> None:
        """A record that is no event goes to the dead letters at once, and blocks nothing but its own place."""
        journey = self._equipment.journey_of(record, "")
        self._start_burying(lanes, record, (record, journey), unread(error), error)

    def _start_burying(
        self,
        lanes: PartitionLanes,
        stored: Record,
        letter: tuple[Record, Journey],
        failure: DeliveryFailure,
        error: Exception | None = None,
    ) -> None:
        original, journey = letter
        journey, verdict = after_failure(self._settings.policy, journey, failure, self._log.now_ms())
        if not isinstance(verdict, DeadLetter):
            place = f"{stored.topic}/{stored.partition}@{stored.offset}"
            _logger.error("%s: %s; without dead letter queue it stays unfinished", place, failure.message)
            self._figures.stopped += 1
            return
        lanes.unread += 1
        self._equipment.tasks.start(self._bury(lanes, stored, (original, journey), error))

    async def _bury(
        self,
        lanes: PartitionLanes,
        stored: Record,
        letter: tuple[Record, Journey],
        error: Exception | None,
    ) -> None:
        if isinstance(error, TaskerError):
            newer = await self._undertaker.newer_release(error)
            if newer is not None:
                self._equipment.on_error(newer)
                return
        await self._undertaker.bury(*letter)
        self._figures.undecodable += 1
        self._metrics.dead_lettered(None, None)
        lanes.unread -= 1
        lanes.skip(stored.topic, stored.offset)
        self._equipment.on_news()
