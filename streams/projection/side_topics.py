"""What is projected beside the transitions: tasks that need a person, who works, and what became of events.

The ledger, the workers' announcements, domain events that name a task, receipts of events, dead letters and what was
done about them. The topics are read side
by side with the transitions, so each kind has its own rows, found by keys that its records hold, and they are put
together when they are read. Records of other publishers (without a task, with ids of another form) are passed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Final

import msgspec

from tasker_kafka.schemas.codec import Codec
from tasker_kafka.schemas.codec import codec as default_codec
from tasker_kafka.schemas.errors import DecodeError, SchemaUnknown
from tasker_kafka.schemas.identity import parse_id
from tasker_kafka.schemas.records import DeadLetterAct, DlqEntry, DomainEvent, Receipt, WorkerAnnouncement
from tasker_kafka.schemas.words import ReceiptOutcome
from tasker_kafka.topics.journey import is_letter, unwrap
from tasker_kafka.topics.log import Record, TopicPartition
from tasker_kafka.topics.names import TopicNames

from . import tables
from .draft import Draft
from .rows import clean

__all__ = ["SideTopics"]

_OPEN: Final = "open"
_GROUP: Final = "group:"
_encode: Final = msgspec.json.Encoder().encode
_Read = Callable[[Record, Draft], None]


class SideTopics:
    """Reads records into a draft. `is_newer`: whether a newer release has published a schema of this fingerprint."""

    def __init__(
        self,
        names: TopicNames,
        *,
        events: bool = True,
        is_newer: Callable[[bytes], bool] = lambda _: False,
        codec: Codec = default_codec,
    ) -> None:
        self._names = names
        self._events = events
        self._is_newer = is_newer
        self._codec = codec

    def wanted(self, topics: Iterable[str]) -> set[str]:
        """Those of these topics that are projected here."""
        return {each for each in topics if self._reading(each) is not None}

    def read(self, place: TopicPartition, records: Sequence[Record], draft: Draft) -> None:
        """Rows of a batch. SchemaUnknown for a record of a newer release; damage is noted and passed."""
        reading = self._reading(place.topic)
        if reading is None:
            return
        for record in records:
            try:
                reading(record, draft)
            except DecodeError as error:
                if isinstance(error, SchemaUnknown) and self._is_newer(error.fingerprint):
                    raise
                draft.fault_of(record, error.message)

    def _reading(self, topic: str) -> _Read | None:
        names = self._names
        if topic == names.task_dlq:
            return self._entry
        if topic == names.workers:
            return self._worker
        if not self._events:
            return None
        if topic == names.receipts:
            return self._receipt
        if names.namespace_of(topic) is not None:
            return self._event
        return self._letter if self._queue_of(topic) is not None else None

    def _queue_of(self, topic: str) -> str | None:
        """The name of a dead letter queue, as places of letters have it."""
        namespace = self._names.dead_letter_namespace_of(topic)
        if namespace is not None:
            return namespace
        group = self._names.dead_letter_group_of(topic)
        return None if group is None else f"{_GROUP}{group}"

    # ------------------------------------------------------------------------------------ one record each

    def _entry(self, record: Record, draft: Draft) -> None:
        if record.key is None:
            return
        if record.value is None:
            draft.ledger[record.key] = None
            return
        entry = self._codec.decode(record.value, DlqEntry)
        draft.ledger[entry.task_id] = (
            entry.task_id,
            entry.life,
            clean(entry.reason),
            clean(entry.status),
            entry.at,
            clean(entry.message),
            None if entry.actor is None else clean(entry.actor),
            entry.snapshot,
        )

    def _worker(self, record: Record, draft: Draft) -> None:
        if record.key is None:
            return
        if record.value is None:
            draft.worker_ends[clean(record.key.decode("utf-8", "replace"))] = record.timestamp
            return
        said = self._codec.decode(record.value, WorkerAnnouncement)
        worker_id = clean(said.worker_id)
        draft.worker_ends.pop(worker_id, None)  # one that comes back under its name
        lists = [_encode([clean(each) for each in names]).decode() for names in (said.queues, said.handlers)]
        row = (*lists, clean(said.version), clean(said.host), said.pid, said.started_at, said.seen_at, None)
        draft.add(tables.worker, (worker_id, *row))

    def _event(self, record: Record, draft: Draft) -> None:
        if record.value is None:
            return
        event = self._codec.decode(record.value, DomainEvent)
        if event.task_id is None:
            return
        draft.add(
            tables.event,
            (
                event.event_id,
                event.task_id,
                None if event.step_name is None else clean(event.step_name),
                event.attempt,
                clean(event.name),
                clean(event.version),
                clean(event.namespace),
                event.delivery.value,
                clean(event.key),
                event.fired_at,
                record.topic,
                record.partition,
                record.offset,
            ),
        )

    def _receipt(self, record: Record, draft: Draft) -> None:
        if record.value is None:
            return
        receipt = self._codec.decode(record.value, Receipt)
        event_id = _own_id(receipt.event_id)
        if event_id is None:
            return
        draft.add(
            tables.receipt,
            (
                event_id,
                clean(receipt.group),
                clean(receipt.subscription),
                int(receipt.outcome is ReceiptOutcome.MISSING),
                receipt.outcome.value,
                receipt.at,
                receipt.deliveries,
            ),
        )

    def _letter(self, record: Record, draft: Draft) -> None:
        if not is_letter(record):
            if self._codec.kind_of(record.value) is DeadLetterAct:
                act = self._codec.decode(record.value, DeadLetterAct)
                draft.letter_states.append((act.action.value, record.topic, record.partition, act.offset))
            return
        _, journey = unwrap(record)
        event_id = None if journey.event_id is None else _own_id(journey.event_id)
        if event_id is None:
            return
        failure = journey.failure_class
        draft.add(
            tables.dead_letter,
            (
                record.topic,
                record.partition,
                record.offset,
                f"{self._queue_of(record.topic)}/{record.partition}:{record.offset}",
                event_id,
                clean(journey.group),
                clean(journey.subscription),
                None if failure is None else failure.value,
                None if journey.error_type is None else clean(journey.error_type),
                None if journey.message is None else clean(journey.message),
                _OPEN,
                record.timestamp,
            ),
        )


def _own_id(text: str) -> bytes | None:
    """The id of an event of ours; None for one of another form."""
    try:
        return parse_id(text)
    except DecodeError:
        return None
