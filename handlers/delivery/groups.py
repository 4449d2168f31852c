"""The registry of subscriber groups: which there are, what they take, and which receipts they owe since when.

A group announces itself when one of its members starts, before it takes any event. It owes a receipt for an event that
is acknowledged, that one of its subscriptions takes, and that was published after that subscription was announced. It
owes until it is forgotten: a group that is down is one whose receipts are missing.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

from tasker_kafka.handlers.subscribing.subscription import SubscriberSpec, Subscription
from tasker_kafka.schemas.codec import Codec
from tasker_kafka.schemas.codec import codec as default_codec
from tasker_kafka.schemas.errors import ConfigurationError, DecodeError, NotFoundError
from tasker_kafka.schemas.nearest import nearest
from tasker_kafka.schemas.records import GroupSubscription, SubscriberGroup
from tasker_kafka.topics.log import Isolation, Log, Reader, Record, TopicPartition, Write
from tasker_kafka.topics.names import TopicNames, checked_name

from .receipts import Writer

__all__ = ["GroupRegistry", "described", "sources_of"]

_LOGGER: Final = logging.getLogger(__name__)
_PARTITION: Final = 0
"""The registry has one: every reader loads it whole."""
_LONGEST_TEXT: Final = 64 * 1024
"""A group's word is bounded well below what its topic takes."""


def described(
    spec: SubscriberSpec,
    known: SubscriberGroup | None,
    *,
    retry_topics: tuple[str, ...],
    member: str,
    version: str,
    now_ms: int,
) -> SubscriberGroup:
    """What the group says of itself now. A subscription that takes what it took before owes since then.

    `known`: what it said last; None when it is new, or was forgotten.
    """
    before = {} if known is None else {each.name: each for each in known.subscriptions}
    return SubscriberGroup(
        group=checked_name("group", spec.group),
        subscriptions=tuple(
            _subscription(each, before.get(each.name), now_ms) for each in spec.subscriptions
        ),
        namespaces=spec.namespaces,
        topics=spec.topics,
        retry_topics=retry_topics,
        ordering=spec.ordering,
        version=version,
        announced_by=member,
        announced_at=now_ms,
    )


def _subscription(said: Subscription, before: GroupSubscription | None, now_ms: int) -> GroupSubscription:
    new = GroupSubscription(
        name=said.name,
        patterns=said.patterns,
        delivery=said.delivery,
        since=now_ms,
        headers=tuple(sorted((name, value.encode()) for name, value in said.headers.items())),
        fields=_json(said) if said.fields else b"",
    )
    is_same = before is not None and _taken(new) == _taken(before)
    return msgspec.structs.replace(new, since=before.since) if before is not None and is_same else new


def _taken(said: GroupSubscription) -> tuple[object, ...]:
    """What decides which events it owes receipts for."""
    return frozenset(said.patterns), said.delivery, said.headers, said.fields


def _json(said: Subscription) -> bytes:
    try:
        return msgspec.json.encode(said.fields, order="sorted")
    except (TypeError, ValueError) as error:
        raise ConfigurationError(
            f"the field filter of subscription {said.name} asks for a value that JSON cannot hold: {error}",
            next_step="payloads are JSON: compare with text, numbers, true, false, null, lists or objects of these",
        ) from None


def sources_of(group: SubscriberGroup, names: TopicNames, topics: Iterable[str]) -> set[str]:
    """Those of `topics` from which the group takes events."""
    return {
        topic
        for topic in topics
        if topic in group.topics or _is_of_namespaces(group, names.namespace_of(topic))
    }


def _is_of_namespaces(group: SubscriberGroup, namespace: str | None) -> bool:
    if namespace is None:
        return False
    return namespace in group.namespaces or not (group.namespaces or group.topics)


class GroupRegistry:
    """The registry of one system; holds what it has read, `refresh` reads on."""

    def __init__(self, log: Log, names: TopicNames, *, codec: Codec = default_codec) -> None:
        self._log = log
        self._where = TopicPartition(names.groups, _PARTITION)
        self._codec = codec
        self._reader: Reader | None = None
        self._groups: dict[str, SubscriberGroup] = {}

    @property
    def groups(self) -> Mapping[str, SubscriberGroup]:
        """Every group by name, as of the last `refresh`."""
        return self._groups

    async def refresh(self) -> Mapping[str, SubscriberGroup]:
        """Read to the registry's end as it is now. LogError when the log does not answer."""
        end = await self._log.end_offset(self._where, isolation=Isolation.UNCOMMITTED)
        if self._reader is None:
            begin = await self._log.begin_offset(self._where)
            self._reader = await self._log.reader({self._where: begin})
        while self._reader.position(self._where) < end:
            for batch in (await self._reader.fetch()).values():
                for record in batch.records:
                    self._take(record)
        return self._groups

    async def announce(
        self,
        spec: SubscriberSpec,
        writer: Writer,
        *,
        member: str,
        retry_topics: tuple[str, ...] = (),
    ) -> SubscriberGroup:
        """Say what the group takes; returns when it is acknowledged, with what was said. Repeating changes no `since`.

        Call before the group's consumer starts: what it takes afterwards is watched.
        """
        from tasker_kafka import __version__

        known = (await self.refresh()).get(spec.group)
        said = described(
            spec,
            known,
            retry_topics=retry_topics,
            member=member,
            version=__version__,
            now_ms=self._log.now_ms(),
        )
        value = self._codec.encode(said)
        if len(value) > _LONGEST_TEXT:
            raise ConfigurationError(
                f"the group {spec.group} has more subscriptions than its announcement can hold "
                f"({len(value)} bytes, at most {_LONGEST_TEXT})",
                next_step="divide its subscriptions among several groups, or write fewer and wider patterns",
            )
        await writer.write(Write(*self._keyed(spec.group), value, partition=_PARTITION))
        self._groups[spec.group] = said
        return said

    async def forget(self, group: str, writer: Writer) -> SubscriberGroup:
        """Let the group owe nothing any more; returns what it was. NotFoundError when there is none of the name.

        A member that starts later announces the group anew.
        """
        known = (await self.refresh()).get(group)
        if known is None:
            close = nearest(group, sorted(self._groups))
            hint = f"did you mean {close}?" if close else "`tasker subscriber list` shows every group"
            raise NotFoundError(f"there is no subscriber group {group[:80]!r}", next_step=hint)
        await writer.write(Write(*self._keyed(group), None, partition=_PARTITION))
        del self._groups[group]
        return known

    async def close(self) -> None:
        """Stop reading."""
        if self._reader is not None:
            await self._reader.close()
            self._reader = None

    def _keyed(self, group: str) -> tuple[str, bytes]:
        return self._where.topic, group.encode()

    def _take(self, record: Record) -> None:
        name = (record.key or b"").decode("utf-8", "replace")
        if record.value is None:
            self._groups.pop(name, None)
            return
        try:
            self._groups[name] = self._codec.decode(record.value, SubscriberGroup)
        except DecodeError as error:
            # It must not stop those who read the others; what the group said before still holds.
            _LOGGER.warning("what group %s says of itself cannot be read: %s", name[:80], error.message)
