"""The name of every topic, group-independent id and transactional id: nowhere else is one put together.

Names that come from templates or people are checked before they become a part of one, so that a queue called
`../x` or `a.b` cannot reach another topic.
"""

from __future__ import annotations

import re
from functools import cached_property
from typing import Final

import msgspec

from tasker_kafka.schemas.errors import ConfigurationError

__all__ = ["DEFAULT_PREFIX", "TopicNames", "checked_name"]

DEFAULT_PREFIX: Final = "tasker"

_NAME: Final = re.compile(r"[a-z0-9_-]{1,64}")
_VERSION: Final = "v1"


def checked_name(kind: str, name: str) -> str:
    """The name itself; ConfigurationError unless it is 1–64 of a–z, 0–9, _ and -."""
    if _NAME.fullmatch(name) is None:
        raise ConfigurationError(
            f"{kind} {name[:80]!r} cannot be a part of a topic's name",
            next_step="use 1 to 64 of a-z, 0-9, _ and -",
        )
    return name


class TopicNames(msgspec.Struct, frozen=True, dict=True):
    """The topics under one prefix. One prefix is one system: nothing is shared between two."""

    prefix: str = DEFAULT_PREFIX

    def __post_init__(self) -> None:
        checked_name("the prefix", self.prefix)

    @cached_property
    def task_requests(self) -> str:
        """What people ask for."""
        return self._topic("task-requests")

    @cached_property
    def rejections(self) -> str:
        """What was not accepted."""
        return self._topic("rejections")

    @cached_property
    def templates(self) -> str:
        """Published plans and their versions."""
        return self._topic("templates")

    @cached_property
    def commands(self) -> str:
        """Everything that may change a task."""
        return self._topic("commands")

    @cached_property
    def transitions(self) -> str:
        """Everything that changed: the source of truth."""
        return self._topic("transitions")

    @cached_property
    def task_state(self) -> str:
        """The changelog of states."""
        return self._topic("task-state")

    @cached_property
    def payloads(self) -> str:
        """Large values."""
        return self._topic("payloads")

    @cached_property
    def control(self) -> str:
        """Cancellations."""
        return self._topic("control")

    @cached_property
    def workers(self) -> str:
        """Workers' announcements."""
        return self._topic("workers")

    @cached_property
    def receipts(self) -> str:
        """Receipts of acknowledged events."""
        return self._topic("receipts")

    @cached_property
    def groups(self) -> str:
        """Subscriber groups that owe receipts."""
        return self._topic("groups")

    @cached_property
    def task_dlq(self) -> str:
        """The ledger of tasks that need a person."""
        return self._topic("task-dlq")

    @cached_property
    def schemas(self) -> str:
        """Avro schemas by fingerprint."""
        return self._topic("schemas")

    def steps(self, queue: str) -> str:
        """Dispatches of a queue."""
        return self._topic(f"steps.{checked_name('queue', queue)}")

    def domain_events(self, namespace: str) -> str:
        """Domain events of a namespace."""
        return self._topic(f"domain-events.{checked_name('namespace', namespace)}")

    def domain_events_dlq(self, namespace: str) -> str:
        """Domain events of a namespace that a subscriber could not take."""
        return self._topic(f"domain-events.{checked_name('namespace', namespace)}.dlq")

    def retry(self, group: str, delay: str) -> str:
        """Domain events that a subscriber group takes again after a delay, e.g. `30s`."""
        return self._topic(f"retry.{checked_name('group', group)}.{checked_name('delay', delay)}")

    def group_dlq(self, group: str) -> str:
        """What a subscriber group could not take of topics that are not Tasker's."""
        return self._topic(f"dlq.{checked_name('group', group)}")

    def dead_letter_writer(self, topic: str) -> str:
        """Transactional id under which dead letters of this topic are redriven or purged, one operator at a time."""
        return f"{self.every_dead_letter_writer}{topic}"

    def subscriber_group(self, group: str) -> str:
        """Consumer group of a subscriber group's members."""
        return f"{self.every_subscriber_group}{checked_name('group', group)}"

    @property
    def engine_group(self) -> str:
        """Consumer group of the orchestrators."""
        return f"{self.prefix}-engine"

    @property
    def watcher_group(self) -> str:
        """Consumer group of those who watch for missing receipts."""
        return f"{self.prefix}-receipt-watcher"

    def watcher_writer(self, topic: str, partition: int) -> str:
        """Transactional id of whoever watches this partition of events."""
        return f"{self.every_watcher_writer}{topic}-{partition}"

    def projection_group(self, store: str) -> str:
        """Consumer group of those who project into one store; two stores share nothing."""
        return f"{self.every_projection_group}{checked_name('store', store)}"

    def worker_group(self, queue: str) -> str:
        """Consumer group of a queue's step workers."""
        return f"{self.prefix}-worker-{checked_name('queue', queue)}"

    def queue_of(self, topic: str) -> str | None:
        """The queue of which this topic holds the dispatches, if it does."""
        return self._part(topic, "steps.")

    def namespace_of(self, topic: str) -> str | None:
        """The namespace of which this topic holds the domain events, if it does."""
        return self._part(topic, "domain-events.")

    def dead_letter_namespace_of(self, topic: str) -> str | None:
        """The namespace of which this topic holds the dead letters, if it does."""
        before, dot, last = topic.removesuffix(f".{_VERSION}").rpartition(".")
        return self.namespace_of(f"{before}.{_VERSION}") if dot and last == "dlq" else None

    def dead_letter_group_of(self, topic: str) -> str | None:
        """The group of which this topic holds the dead letters, if it does."""
        return self._part(topic, "dlq.")

    def retry_group_of(self, topic: str) -> str | None:
        """The group of which this is a retry topic, if it is one."""
        group = self._part(topic.removesuffix(f".{_VERSION}").rpartition(".")[0] + f".{_VERSION}", "retry.")
        return group if group is not None and self.retry_delay_of(group, topic) is not None else None

    def retry_delay_of(self, group: str, topic: str) -> str | None:
        """The delay for which this topic is the group's retry topic, if it is one."""
        return self._part(topic, f"retry.{group}.")

    @property
    def every_topic(self) -> str:
        """What the name of every topic of this system begins with."""
        return f"{self.prefix}."

    @property
    def every_group(self) -> str:
        """What the name of every consumer group of this system begins with."""
        return f"{self.prefix}-"

    @property
    def every_steps(self) -> str:
        """What every topic of dispatches begins with."""
        return f"{self.prefix}.steps."

    @property
    def every_domain_events(self) -> str:
        """What every topic of domain events begins with, those of dead letters included."""
        return f"{self.prefix}.domain-events."

    @property
    def every_retry(self) -> str:
        """What every group's retry topics begin with."""
        return f"{self.prefix}.retry."

    @property
    def every_group_dlq(self) -> str:
        """What every group's own dead letter topic begins with."""
        return f"{self.prefix}.dlq."

    @property
    def every_subscriber_group(self) -> str:
        """What the consumer group of every subscriber group begins with."""
        return f"{self.prefix}-subscriber-"

    @property
    def every_projection_group(self) -> str:
        """How the groups of projections begin."""
        return f"{self.prefix}-projection-"

    @property
    def every_dead_letter_writer(self) -> str:
        """What every transactional id of who redrives or purges begins with."""
        return f"{self.prefix}-dead-letters-"

    @property
    def every_engine_writer(self) -> str:
        """What every transactional id of a partition's owner begins with."""
        return f"{self.engine_group}-"

    @property
    def every_watcher_writer(self) -> str:
        """What every transactional id of who watches for receipts begins with."""
        return f"{self.watcher_group}-"

    @property
    def templates_writer(self) -> str:
        """Transactional id under which templates are published, one publisher at a time."""
        return f"{self.prefix}-templates"

    def engine_writer(self, partition: int) -> str:
        """Transactional id of a partition's owner."""
        return f"{self.every_engine_writer}{partition}"

    def _topic(self, name: str) -> str:
        return f"{self.prefix}.{name}.{_VERSION}"

    def _part(self, topic: str, begin: str) -> str | None:
        before, after = f"{self.prefix}.{begin}", f".{_VERSION}"
        if not (topic.startswith(before) and topic.endswith(after)):
            return None
        name = topic[len(before) : -len(after)]
        return name if _NAME.fullmatch(name) is not None else None
