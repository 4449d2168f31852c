"""Turns decisions into records on topics.

Everything that an owner writes carries its number in a header, so that readers can tell a zombie's records. All
records of a decision are built before the first is sent: a fault in one of them must not leave half a decision
in the log.
"""

from __future__ import annotations

import logging

from tasker_kafka.schemas.codec import Codec
from tasker_kafka.schemas.identity import dispatch_key, traceparent_for
from tasker_kafka.schemas.plan import Plan
from tasker_kafka.schemas.records import (
    NO_LIFE,
    Answer,
    Body,
    Command,
    Dispatch,
    DomainEvent,
    Forgotten,
    IgnoredRange,
    Rejection,
    Transitions,
)
from tasker_kafka.schemas.words import RejectionCode
from tasker_kafka.streams.domain import Outputs, RefusedRequest
from tasker_kafka.topics import headers
from tasker_kafka.topics.events import event_write
from tasker_kafka.topics.log import Headers, Outbox, Record, Track, Write
from tasker_kafka.topics.names import TopicNames

from .metrics import EngineMetrics
from .wire import NO_TASK, Refusal

__all__ = ["LONGEST_KEY", "NO_TASK", "Emitter", "refusal_in", "refusal_record"]

_log = logging.getLogger("tasker.lane")

LONGEST_KEY = 1024
"""Longer keys of foreign records are not repeated as a rejection's key."""


def refusal_record(source: Record, refusal: Refusal, ignored: tuple[IgnoredRange, ...]) -> Transitions:
    """The record of a command that was refused without a decision: nothing but the answer."""
    return Transitions(
        life=NO_LIFE,
        seq=0,
        command_offset=source.offset,
        at=source.timestamp,
        transitions=(),
        answer=Answer(NO_TASK, refusal.code, refusal.message),
        ignored=ignored,
    )


def refusal_in(record: Transitions) -> Refusal | None:
    """What `refusal_record` put into a record."""
    answer = record.answer
    if answer is None or answer.command_id != NO_TASK:
        return None
    return Refusal(RejectionCode(answer.code), answer.message)


class Emitter:
    """Writes for one owner of one partition, through one outbox track."""

    def __init__(
        self,
        *,
        outbox: Outbox,
        names: TopicNames,
        codec: Codec,
        partition: int,
        owner: int,
        metrics: EngineMetrics,
    ) -> None:
        self._send = outbox.send
        self._names = names
        self._encode = codec.encode
        self._partition = partition
        self._headers: Headers = headers.for_owner(owner)
        self._metrics = metrics
        self._transitions = names.transitions
        self._queues: dict[str, str] = {}
        self.track: Track = outbox.track()

    # ------------------------------------------------------------------------------------- building

    def transitions(self, key: bytes, record: Transitions | Forgotten) -> Write:
        """The record of a decision, in the partition's own transitions partition."""
        return Write(self._transitions, key, self._encode(record), self._headers, self._partition)

    def outputs(
        self, task_id: bytes, record: Transitions, outputs: Outputs, plan: Plan | None, source: Record
    ) -> list[Write]:
        """Everything beside the record, in a fixed order: dispatches, events, cancellations, ledger, rejections."""
        writes = [self._dispatch(each, plan) for each in outputs.dispatches] if plan is not None else []
        if outputs.domain_events:
            writes += [self._event(each, record.life) for each in outputs.domain_events]
        encode, own = self._encode, self._headers
        for cancellation in outputs.cancellations:
            writes.append(Write(self._names.control, task_id, encode(cancellation), own))
        for entry in outputs.dlq_entries:
            writes.append(Write(self._names.task_dlq, task_id, encode(entry), own))
        for refused in outputs.rejections:
            writes.append(self._rejection(source, refused))
        return writes

    def count(self, outputs: Outputs) -> None:
        """Count what `outputs` built, once it is sent."""
        metrics = self._metrics
        metrics.dispatches += len(outputs.dispatches)
        if outputs.domain_events or outputs.cancellations or outputs.dlq_entries or outputs.rejections:
            metrics.domain_events += len(outputs.domain_events)
            metrics.cancellations += len(outputs.cancellations)
            metrics.dlq_entries += len(outputs.dlq_entries)
            metrics.rejections += len(outputs.rejections)
        if outputs.dropped_events:
            metrics.dropped_events += len(outputs.dropped_events)
            for each in outputs.dropped_events:
                _log.warning("a domain event is dropped: %s", each)

    def rejection(self, source: Record, refusal: Refusal) -> Write:
        """The rejection of a command that was refused without a decision."""
        return self._rejection(source, refusal)

    def _dispatch(self, dispatch: Dispatch, plan: Plan) -> Write:
        step = dispatch.step
        queue = plan.steps[plan.index[step]].queue
        topic = self._queues.get(queue)
        if topic is None:
            topic = self._queues[queue] = self._names.steps(queue)
        key = dispatch_key(dispatch.task_id, step)
        own = self._headers
        if dispatch.traceparent is not None:
            own += headers.for_trace(dispatch.traceparent)
        return Write(topic, key, self._encode(dispatch), own)

    def _event(self, event: DomainEvent, life: int) -> Write:
        parent = None
        if event.task_id is not None:
            parent = traceparent_for(event.task_id, life, event.step_name, event.attempt or 0)
        return event_write(event, self._names, self._encode, traceparent=parent, headers=self._headers)

    def _rejection(self, source: Record, refused: Refusal | RefusedRequest) -> Write:
        """It names the place only: the original lies in the commands, and for a request in its own topic, too."""
        request = refused if isinstance(refused, RefusedRequest) else None
        rejection = Rejection(
            code=refused.code,
            message=refused.message,
            path=None if request is None else request.path,
            topic=source.topic,
            partition=source.partition,
            offset=source.offset,
            rejected_at=source.timestamp if request is None else request.at,
            task_id=None if request is None else request.task_id,
            request_id=None if request is None else request.request_id,
        )
        key = source.key if source.key is not None and len(source.key) <= LONGEST_KEY else None
        return Write(self._names.rejections, key, self._encode(rejection), self._headers)

    # -------------------------------------------------------------------------------------- sending

    def send(self, write: Write) -> None:
        """Hand a record to the outbox."""
        self._send(write, self.track)

    def command(self, key: bytes, task_id: bytes, body: Body) -> None:
        """Write a command of the owner's own to its own partition."""
        value = self._encode(Command(task_id, body))
        self.send(Write(self._names.commands, key, value, self._headers, self._partition))
