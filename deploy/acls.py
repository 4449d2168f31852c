"""The least rights of each principal, as Kafka ACLs: printed by `tasker topics acls`, for whoever administers them.

Kafka's rights are per topic. So within one prefix workers are trusted to write results only for what they were given
(the engine checks attempt and life); teams that distrust each other use separate prefixes. Workers never write
transitions.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec

from tasker_kafka.topics.names import TopicNames

__all__ = ["Acl", "acls"]


class Acl(msgspec.Struct, frozen=True):
    """Operations that a principal's role needs on one resource."""

    role: str
    """submitter, orchestrator, operator, worker:<queue>, subscriber:<namespace>, watcher or projection."""
    resource: str
    """topic, group or transactional_id."""
    name: str
    pattern: str
    """literal or prefixed."""
    operations: tuple[str, ...]


READ = ("Read", "Describe")
WRITE = ("Write", "Describe")


def acls(names: TopicNames, queues: Iterable[str], namespaces: Iterable[str]) -> list[Acl]:
    """Every rule, by role; queues and namespaces are those of the published templates."""
    namespaces = sorted(namespaces)
    found = [*_submitter(names), *_orchestrator(names), *_operator(names, namespaces)]
    for queue in sorted(queues):
        found += _worker(names, queue)
    for namespace in namespaces:
        found += _subscriber(names, namespace)
    return [*found, *_watcher(names, namespaces), *_projection(names)]


def _topics(role: str, operations: tuple[str, ...], *topics: str) -> Iterator[Acl]:
    return (Acl(role, "topic", topic, "literal", operations) for topic in topics)


def _submitter(names: TopicNames) -> Iterator[Acl]:
    yield from _topics("submitter", WRITE, names.task_requests)
    # To know the task id beforehand, and to wait for the outcome.
    yield from _topics(
        "submitter", READ, names.templates, names.transitions, names.rejections, names.payloads
    )


def _orchestrator(names: TopicNames) -> Iterator[Acl]:
    role = "orchestrator"
    yield from _topics(role, READ, names.task_requests, names.templates, names.schemas)
    both = ("Read", "Write", "Describe")
    yield from _topics(role, both, names.commands, names.transitions, names.task_state)
    yield from _topics(role, WRITE, names.rejections, names.payloads, names.control, names.task_dlq)
    yield Acl(role, "topic", names.every_steps, "prefixed", WRITE)
    yield Acl(role, "topic", names.every_domain_events, "prefixed", WRITE)
    yield Acl(role, "group", names.every_group, "prefixed", READ)
    yield Acl(role, "transactional_id", names.every_engine_writer, "prefixed", WRITE)


def _operator(names: TopicNames, namespaces: Iterable[str]) -> Iterator[Acl]:
    role = "operator"
    yield Acl(role, "topic", names.every_topic, "prefixed", READ)
    yield Acl(role, "group", names.every_group, "prefixed", ("Describe",))
    yield from _topics(role, WRITE, names.commands, names.payloads, names.templates, names.schemas)
    yield Acl(role, "transactional_id", names.templates_writer, "literal", WRITE)
    # To redrive and purge dead letters, and to forget a group.
    yield from _topics(role, WRITE, names.groups, *map(names.domain_events_dlq, namespaces))
    yield Acl(role, "topic", names.every_group_dlq, "prefixed", WRITE)
    yield Acl(role, "topic", names.every_retry, "prefixed", WRITE)
    yield Acl(role, "transactional_id", names.every_dead_letter_writer, "prefixed", WRITE)


def _worker(names: TopicNames, queue: str) -> Iterator[Acl]:
    role = f"worker:{queue}"
    yield from _topics(role, READ, names.steps(queue), names.templates, names.payloads, names.control)
    yield from _topics(role, WRITE, names.commands, names.payloads, names.workers)
    yield Acl(role, "topic", names.every_domain_events, "prefixed", WRITE)
    yield Acl(role, "group", names.worker_group(queue), "literal", READ)


def _subscriber(names: TopicNames, namespace: str) -> Iterator[Acl]:
    role = f"subscriber:{namespace}"
    both = ("Read", "Write", "Describe")
    # Templates, to warn of names that none of them declares.
    yield from _topics(role, READ, names.domain_events(namespace), names.schemas, names.templates)
    yield from _topics(role, WRITE, names.domain_events_dlq(namespace))
    yield from _topics(role, both, names.receipts, names.groups)
    yield Acl(role, "topic", names.every_group_dlq, "prefixed", WRITE)
    yield Acl(role, "topic", names.every_retry, "prefixed", both)
    yield Acl(role, "group", names.every_subscriber_group, "prefixed", READ)


def _watcher(names: TopicNames, namespaces: Iterable[str]) -> Iterator[Acl]:
    role = "watcher"
    yield Acl(role, "topic", names.every_domain_events, "prefixed", READ)
    yield Acl(role, "topic", names.every_group_dlq, "prefixed", ("Read", "Write", "Describe"))
    yield from _topics(role, WRITE, *map(names.domain_events_dlq, namespaces))
    yield from _topics(role, ("Read", "Write", "Describe"), names.receipts)
    yield from _topics(role, READ, names.groups)
    yield Acl(role, "group", names.watcher_group, "literal", READ)
    yield Acl(role, "transactional_id", names.every_watcher_writer, "prefixed", WRITE)


def _projection(names: TopicNames) -> Iterator[Acl]:
    """It reads what there is, topics of later namespaces included, and writes nothing."""
    yield Acl("projection", "topic", names.every_topic, "prefixed", READ)
    yield Acl("projection", "group", names.every_projection_group, "prefixed", READ)
