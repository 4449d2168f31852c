"""Every topic, declared once: its key, its values, its settings, and why they are so.

`topics.provision` creates topics from these declarations and refuses topics that differ from them.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import msgspec

from tasker_kafka.schemas.plan import Plan
from tasker_kafka.schemas.records import (
    Cancellation,
    Checkpoint,
    Command,
    DeadLetterAct,
    Dispatch,
    DlqEntry,
    DomainEvent,
    Forgotten,
    OwnerMarker,
    Receipt,
    Rejection,
    SubscriberGroup,
    TaskRequest,
    Transitions,
    WorkerAnnouncement,
)
from tasker_kafka.schemas.state import Stub, TaskState
from tasker_kafka.schemas.template_records import PublishedTemplate, TemplatePointer

from .log import TopicDescription
from .names import TopicNames

__all__ = [
    "TopicDeclaration",
    "TopicPlan",
    "declarations",
    "declared_for",
    "group_dlq_declaration",
    "group_tables",
    "retry_declaration",
]

_DAY: Final = 86_400_000
_HOUR: Final = 3_600_000
_MIB: Final = 1024 * 1024
_HEADROOM: Final = 64 * 1024
"""What a record that wraps another needs beyond it."""


class TopicDeclaration(msgspec.Struct, frozen=True):
    """What a topic is meant to be. `values` empty: raw bytes."""

    name: str
    key: str
    values: tuple[type[msgspec.Struct], ...]
    partitions: int
    config: dict[str, str]
    co_partitioned: bool = False
    """Of the same partition count as the other topics of the engine, to the partition."""
    holds_originals: bool = False
    """Holds records of other topics, byte for byte, beside the `values`."""

    def described(self, replication_factor: int) -> TopicDescription:
        """The topic to create; with three replicas or more, a write needs two."""
        config = dict(self.config)
        if replication_factor >= 3:
            config["min.insync.replicas"] = "2"
        return TopicDescription(self.name, self.partitions, replication_factor, config)


_PACKED = {"compression.type": "lz4"}
"""Of what is kept longest and repeats itself most. The broker packs, once: a producer that did would cost the engine
the time, and the broker would have to unpack it again to check it (docs/benchmarks.md)."""


class TopicPlan(msgspec.Struct, frozen=True, kw_only=True):
    """What the operator decides about topics."""

    partitions: int = 8
    """Of the engine's topics. Cannot be changed later: tasks belong to partitions."""
    queue_partitions: int | None = None
    """Of each queue: how many workers can share it. None: as `partitions`."""
    transitions_days: int | None = 365
    """How long history is kept; None: for ever."""
    requests_days: int = 7
    """How long requests, commands and dispatches wait for an outage to end."""
    payloads_days: int = 90
    """At least as long as the longest task lasts."""
    events_days: int = 30
    events_dlq_days: int = 7


def declarations(
    names: TopicNames,
    plan: TopicPlan = TopicPlan(),  # noqa: B008 - immutable
    *,
    queues: Iterable[str] = (),
    namespaces: Iterable[str] = (),
) -> list[TopicDeclaration]:
    """Every topic of a system, with those of these queues and namespaces."""
    found = [*_engine(names, plan), *_records(names, plan), *_tables(names, plan)]
    for queue in sorted(set(queues)):
        found.append(_queue(names, plan, queue))
    for namespace in sorted(set(namespaces)):
        found += _namespace(names, plan, namespace)
    return found


def declared_for(plans: Iterable[Plan]) -> tuple[set[str], set[str]]:
    """Queues and namespaces that published templates need topics for."""
    queues: set[str] = set()
    namespaces: set[str] = set()
    for plan in plans:
        queues.update(plan.queues)
        if plan.publishes_events or any(step.publishes_events for step in plan.steps):
            namespaces.add(plan.namespace)
    return queues, namespaces


def retry_declaration(
    names: TopicNames, group: str, delay: str, *, partitions: int, days: int = 7
) -> TopicDeclaration:
    """A subscriber group's retry topic: original bytes, partitioned as the topic they come from."""
    return TopicDeclaration(
        names.retry(group, delay), "event key", (), partitions, _kept(days, _MIB + _HEADROOM)
    )


def group_dlq_declaration(
    names: TopicNames, group: str, *, partitions: int, days: int = 7
) -> TopicDeclaration:
    """Dead letters of a subscriber group whose events come from topics that are not Tasker's."""
    return _dead_letters(names.group_dlq(group), partitions, days)


def group_tables(names: TopicNames, plan: TopicPlan = TopicPlan()) -> list[TopicDeclaration]:  # noqa: B008 - immutable
    """What acknowledged delivery needs beside its events: the registry of groups, and their receipts.

    A receipt is kept as long as events are. Its partition is the event's, modulo the count here.
    """
    receipts = _compacted() | {
        "cleanup.policy": "compact,delete",
        "retention.ms": str(plan.events_days * _DAY),
    }
    return [
        TopicDeclaration(names.receipts, "event id, group and subscription", (Receipt,), 8, receipts),
        TopicDeclaration(names.groups, "group", (SubscriberGroup,), 1, _compacted()),
    ]


def _dead_letters(name: str, partitions: int, days: int) -> TopicDeclaration:
    """A dead letter is as large as its original and its journey; acts about it lie beside it."""
    config = _kept(days, _MIB + _HEADROOM)
    return TopicDeclaration(name, "event key", (DeadLetterAct,), partitions, config, holds_originals=True)


def _kept(days: int | None, largest: int = _MIB, *, broker_time: bool = False) -> dict[str, str]:
    """Settings of a topic that is read as a stream."""
    config = {
        "cleanup.policy": "delete",
        "retention.ms": "-1" if days is None else str(days * _DAY),
        "max.message.bytes": str(largest),
    }
    if broker_time:
        config["message.timestamp.type"] = "LogAppendTime"
    return config


def _compacted(*, tombstones_days: int = 7, largest: int = _MIB) -> dict[str, str]:
    """Settings of a topic that is read as a table.

    Compaction runs early, because loading the table reads what is not compacted yet. Tombstones stay as long as
    an outage may last: a reader that was away must learn of a deletion.
    """
    return {
        "cleanup.policy": "compact",
        "delete.retention.ms": str(tombstones_days * _DAY),
        "max.message.bytes": str(largest),
        "min.cleanable.dirty.ratio": "0.1",
        "max.compaction.lag.ms": str(_HOUR),
        "segment.bytes": str(64 * _MIB),
    }


def _engine(names: TopicNames, plan: TopicPlan) -> list[TopicDeclaration]:
    """The four topics of which partition n belongs to the owner of partition n.

    Requests and commands carry the broker's time, which is the engine's clock.
    """
    requests = _kept(plan.requests_days, broker_time=True)

    def declare(
        name: str, key: str, values: tuple[type[msgspec.Struct], ...], config: dict[str, str]
    ) -> TopicDeclaration:
        return TopicDeclaration(name, key, values, plan.partitions, config, co_partitioned=True)

    return [
        declare(names.task_requests, "any", (TaskRequest,), requests),
        declare(names.commands, "task id", (Command,), requests),
        declare(
            names.transitions,
            "task id, or a reserved key",
            (Transitions, OwnerMarker, Forgotten),
            _kept(plan.transitions_days) | _PACKED,
        ),
        declare(
            names.task_state,
            "task id, or a reserved key",
            (TaskState, Stub, Checkpoint),
            _compacted() | _PACKED,
        ),
    ]


def _records(names: TopicNames, plan: TopicPlan) -> list[TopicDeclaration]:
    """Streams beside the engine. A rejection holds the whole request, so it may be larger."""
    rejections = _kept(30, _MIB + _HEADROOM)
    return [
        TopicDeclaration(names.rejections, "the original's", (Rejection,), plan.partitions, rejections),
        TopicDeclaration(names.payloads, "task id", (), plan.partitions, _kept(plan.payloads_days)),
        # Every worker reads it whole at its start.
        TopicDeclaration(names.control, "task id", (Cancellation,), 1, _kept(7)),
    ]


def _tables(names: TopicNames, plan: TopicPlan) -> list[TopicDeclaration]:
    """Tables that every reader loads whole. One partition where the order of all records matters."""
    templates = (PublishedTemplate, TemplatePointer)
    return [
        TopicDeclaration(
            names.templates,
            "plan hash; namespace/name@version",
            templates,
            1,
            _compacted(largest=3 * _MIB),
        ),
        TopicDeclaration(names.workers, "worker id", (WorkerAnnouncement,), 1, _compacted(tombstones_days=1)),
        *group_tables(names, plan),
        TopicDeclaration(names.task_dlq, "task id", (DlqEntry,), 8, _compacted(largest=_MIB + _HEADROOM)),
        TopicDeclaration(names.schemas, "fingerprint, 8 bytes", (), 1, _compacted()),
    ]


def _queue(names: TopicNames, plan: TopicPlan, queue: str) -> TopicDeclaration:
    count = plan.queue_partitions or plan.partitions
    return TopicDeclaration(
        names.steps(queue), "hash of task and step", (Dispatch,), count, _kept(plan.requests_days)
    )


def _namespace(names: TopicNames, plan: TopicPlan, namespace: str) -> list[TopicDeclaration]:
    return [
        TopicDeclaration(
            names.domain_events(namespace),
            "event key",
            (DomainEvent,),
            plan.partitions,
            _kept(plan.events_days),
        ),
        _dead_letters(names.domain_events_dlq(namespace), plan.partitions, plan.events_dlq_days),
    ]
