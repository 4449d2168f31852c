"""How far subscriber groups are: members, lag in records and seconds, what waits for a retry, what is dead.

Everything is told from the log and the broker's group coordinator, so it holds for groups in any process and language
version; nothing of a running member is asked. Numbers are as of the moments at which they are read: a busy group's do
not add up to the last record.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

from tasker_kafka.handlers.delivery.caution import is_suspect
from tasker_kafka.handlers.delivery.groups import GroupRegistry, sources_of
from tasker_kafka.handlers.delivery.journey import unwrap
from tasker_kafka.handlers.delivery.letters import LetterFilter, letter_queues, letters_of
from tasker_kafka.handlers.watermark import decode_metadata
from tasker_kafka.schemas.errors import CommandRejected, DecodeError, NotFoundError, TopicsDrifted
from tasker_kafka.schemas.nearest import nearest
from tasker_kafka.schemas.subscriptions import SubscriberGroup
from tasker_kafka.topics.log import (
    Committed,
    Log,
    MemberDescription,
    Record,
    TopicPartition,
    TopicPartitionOffset,
)
from tasker_kafka.topics.names import TopicNames

from .scan import beginnings, ends_of, partitions_of, scan
from .subscriber_rows import (
    DeadRow,
    GroupReport,
    GroupRow,
    MemberRow,
    PartitionRow,
    RetryRow,
    SubscriptionRow,
)

__all__ = ["count_letters", "forget_group", "list_groups", "read_group"]


_Dead = dict[str, dict[str, DeadRow]]
"""Group → class → its letters."""
_NO_CLASS: Final = "unknown"
_MOST_READ: Final = 5_000
"""Records of a retry partition that are looked at one by one."""


async def list_groups(log: Log, names: TopicNames, *, with_dead_letters: bool = True) -> list[GroupRow]:
    """Every group that is announced, has retry topics or has dead letters, by name.

    with_dead_letters: they are counted by reading their queues whole; False leaves that out.
    """
    reading = await _Reading.begin(log, names)
    dead = await count_letters(log, names) if with_dead_letters else None
    found = []
    for group in sorted(reading.groups | set(dead or ())):
        report = await reading.report(group, None if dead is None else dead.get(group, {}))
        found.append(report.row)
    return found


async def read_group(
    log: Log, names: TopicNames, group: str, *, with_dead_letters: bool = True
) -> GroupReport:
    """One group in full. NotFoundError names the nearest when there is none of this name."""
    reading = await _Reading.begin(log, names)
    dead = await count_letters(log, names) if with_dead_letters else None
    if group not in reading.groups | set(dead or ()):
        raise _unknown(group, reading.groups)
    return await reading.report(group, None if dead is None else dead.get(group, {}))


async def forget_group(log: Log, names: TopicNames, group: str, *, client_id: str) -> SubscriberGroup:
    """Take a group out of the registry: it owes no receipts any more. What it was.

    NotFoundError when it is not there; CommandRejected while it has members, who would go on unwatched. Its offsets,
    retry topics and dead letters stay.
    """
    members = await log.admin().group_members(names.subscriber_group(group))
    if members:
        raise CommandRejected(
            f"group {group!r} has {len(members)} members: {', '.join(each.client_id for each in members[:5])}",
            code="has_members",
            next_step="stop them first; a group that runs owes receipts for what it takes",
        )
    registry = GroupRegistry(log, names)
    outbox = await log.outbox(client_id=client_id)
    try:
        return await registry.forget(group, outbox)
    finally:
        await outbox.close()
        await registry.close()


class _Reading:
    """What is known of all groups, and what is asked of one."""

    def __init__(
        self, log: Log, names: TopicNames, topics: set[str], announced: Mapping[str, SubscriberGroup]
    ) -> None:
        self._log = log
        self._names = names
        self._topics = topics
        self._announced = announced
        retrying = {names.retry_group_of(topic) for topic in topics}
        self.groups = set(announced) | {group for group in retrying if group is not None}

    @classmethod
    async def begin(cls, log: Log, names: TopicNames) -> _Reading:
        """Read the registry and the names of all topics."""
        registry = GroupRegistry(log, names)
        try:
            announced = dict(await registry.refresh())
        except TopicsDrifted:
            # Subscribers work without an orchestrator, and then perhaps without a registry.
            announced = {}
        finally:
            await registry.close()
        return cls(log, names, await log.admin().names(), announced)

    async def report(self, group: str, dead: Mapping[str, DeadRow] | None) -> GroupReport:
        """One group in full; `dead` None: not read."""
        said = self._announced.get(group)
        admin = self._log.admin()
        members = await admin.group_members(self._names.subscriber_group(group))
        committed = await admin.group_offsets(self._names.subscriber_group(group))
        holders = {each: member.member_id for member in members for each in member.partitions}
        tiers = {
            topic: tier
            for topic in self._topics
            if (tier := self._names.retry_delay_of(group, topic)) is not None
        }
        sources = {place.topic for place in committed if place.topic in self._topics} - set(tiers)
        if said is not None:
            sources |= sources_of(said, self._names, self._topics)
        partitions = [row for _, row in await self._lags(sources, committed, holders)]
        retries = [await self._retry(topic, tiers[topic], committed) for topic in sorted(tiers)]
        return GroupReport(
            row=_group_row(
                group,
                said,
                members=members,
                partitions=partitions,
                retries=retries,
                dead=dead,
                suspects=_suspects(committed.values()),
            ),
            ordering=None if said is None else said.ordering,
            subscriptions=[] if said is None else _subscription_rows(said),
            members=[_member_row(each) for each in members],
            partitions=partitions,
            retries=retries,
            dead_letters=sorted(dead.values(), key=lambda row: row.failure_class) if dead else [],
        )

    async def _retry(self, topic: str, tier: str, committed: Mapping[TopicPartition, Committed]) -> RetryRow:
        depth, oldest_at, due = 0, None, []
        for record, row in await self._lags([topic], committed, {}):
            if record is None:
                continue
            waiting = [record] if row.lag > _MOST_READ else await self._waiting(row, committed)
            depth += row.lag if row.lag > _MOST_READ else len(waiting)
            oldest_at = record.timestamp if oldest_at is None else min(oldest_at, record.timestamp)
            due += [_due_at(each) for each in waiting]
        return RetryRow(
            tier=tier,
            topic=topic,
            depth=depth,
            oldest_at=oldest_at,
            next_due_at=min(due, default=0) or None,
        )

    async def _waiting(
        self, row: PartitionRow, committed: Mapping[TopicPartition, Committed]
    ) -> list[Record]:
        """The records of a retry partition that are not finished, without their values."""
        place = TopicPartition(row.topic, row.partition)
        done = committed.get(place)
        start = row.end - row.lag if done is None else done.offset
        found: list[Record] = []
        async for record in scan(self._log, {place: start}):
            if not any(first <= record.offset < until for first, until in _finished_runs(done)):
                found.append(msgspec.structs.replace(record, value=None))
        return found

    async def _lags(
        self,
        topics: Iterable[str],
        committed: Mapping[TopicPartition, Committed],
        holders: Mapping[TopicPartition, str],
    ) -> list[tuple[Record | None, PartitionRow]]:
        """Of each partition the oldest record that is not finished, and the row."""
        found = []
        for topic in sorted(topics):
            places = await partitions_of(self._log, topic)
            begins, ends = await beginnings(self._log, places), await ends_of(self._log, places)
            for place in places:
                done = committed.get(place)
                offset = begins[place] if done is None else done.offset
                first = max(offset, begins[place])
                lag = max(0, ends[place] - first - _finished(done, first, ends[place]))
                oldest = await self._first_from(place, first, ends[place]) if lag else None
                lag = 0 if oldest is None else lag  # Nothing but control records is left.
                row = PartitionRow(
                    topic=topic,
                    partition=place.partition,
                    member_id=holders.get(place),
                    committed=None if done is None else done.offset,
                    end=ends[place],
                    lag=lag,
                    lag_seconds=0.0 if oldest is None else _age(self._log, oldest.timestamp),
                    lost=begins[place] - offset if done is not None and offset < begins[place] else 0,
                )
                found.append((oldest, row))
        return found

    async def _first_from(self, place: TopicPartition, offset: int, end: int) -> Record | None:
        """The first record at or above an offset; a control record may lie at the offset itself."""
        try:
            return await self._log.fetch_at(TopicPartitionOffset(*place, offset))
        except NotFoundError:
            pass
        reader = await self._log.reader({place: offset})
        try:
            while reader.position(place) < end:
                batch = (await reader.fetch(max_records=1)).get(place)
                if batch is not None and batch.records:
                    return batch.records[0]
            return None
        finally:
            await reader.close()


def _group_row(
    group: str,
    said: SubscriberGroup | None,
    *,
    members: list[MemberDescription],
    partitions: list[PartitionRow],
    retries: list[RetryRow],
    dead: Mapping[str, DeadRow] | None,
    suspects: int,
) -> GroupRow:
    return GroupRow(
        group=group,
        is_announced=said is not None,
        members=len(members),
        lag=sum(row.lag for row in partitions),
        lag_seconds=max((row.lag_seconds for row in partitions), default=0.0),
        lost=sum(row.lost for row in partitions),
        retry_depth=sum(row.depth for row in retries),
        dead_letters=None if dead is None else sum(row.letters for row in dead.values()),
        left_out=None if dead is None else sum(row.left_out for row in dead.values()),
        suspects=suspects,
        oldest_dead_at=min((row.oldest_at for row in dead.values()), default=None) if dead else None,
        version=None if said is None else said.version,
        announced_at=None if said is None else said.announced_at,
    )


async def count_letters(log: Log, names: TopicNames) -> dict[str, dict[str, DeadRow]]:
    """Every open letter, counted by group and class; reads every queue whole."""
    found: _Dead = {}
    for queue in await letter_queues(log, names):
        for partition in range(await log.partition_count(queue.topic)):
            async for letter in letters_of(log, queue, partition, LetterFilter()):
                kind = letter.journey.failure_class
                name = _NO_CLASS if kind is None else kind.value
                classes = found.setdefault(letter.journey.group, {})
                known = classes.get(name) or DeadRow(
                    failure_class=name, letters=0, left_out=0, oldest_at=letter.died_at
                )
                classes[name] = DeadRow(
                    failure_class=name,
                    letters=known.letters + 1,
                    left_out=known.left_out + (letter.journey.left_out is not None),
                    oldest_at=min(known.oldest_at, letter.died_at),
                )
    return found


def _suspects(commits: Iterable[Committed]) -> int:
    """Events that have had a process to themselves, as the commits note it."""
    found = 0
    for done in commits:
        restored = decode_metadata(done.offset, done.metadata)
        if restored is not None:
            found += sum(is_suspect(note) for _, note in restored.deliveries)
    return found


def _finished(done: Committed | None, first: int, end: int) -> int:
    """Offsets above the committed one that are finished, as its metadata says."""
    return sum(max(0, min(until, end) - max(start, first)) for start, until in _finished_runs(done))


def _finished_runs(done: Committed | None) -> tuple[tuple[int, int], ...]:
    restored = None if done is None else decode_metadata(done.offset, done.metadata)
    return () if restored is None else restored.finished


def _due_at(record: Record) -> int:
    """When a retry is due; 0: at once, as what cannot be read is."""
    try:
        return unwrap(record)[1].due_at
    except DecodeError:
        return 0


def _age(log: Log, timestamp: int) -> float:
    return max(0, log.now_ms() - timestamp) / 1000


def _member_row(member: MemberDescription) -> MemberRow:
    return MemberRow(
        member_id=member.member_id,
        client_id=member.client_id,
        host=member.host,
        partitions=tuple(sorted({each.partition for each in member.partitions})),
    )


def _subscription_rows(said: SubscriberGroup) -> list[SubscriptionRow]:
    return [
        SubscriptionRow(
            name=each.name,
            patterns=each.patterns,
            delivery=None if each.delivery is None else each.delivery.value,
            since=each.since,
        )
        for each in said.subscriptions
    ]


def _unknown(group: str, known: Iterable[str]) -> NotFoundError:
    close = nearest(group, sorted(known))
    return NotFoundError(
        f"There is no subscriber group {group[:80]!r}.",
        next_step=f"Did you mean {close}?" if close else "`tasker subscriber list` shows every group.",
    )
