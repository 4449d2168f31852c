"""A member of a subscriber's group in this process: puts the parts together, and takes them apart in order."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import Awaitable, Coroutine
from contextlib import AsyncExitStack
from typing import Any, Final, TypeVar

import msgspec
from opentelemetry.metrics import Meter

from tasker_kafka.handlers.event_metrics import EventMetrics
from tasker_kafka.handlers.subscribing.subscription import SubscriberSpec
from tasker_kafka.handlers.worker.tasks import BackgroundTasks
from tasker_kafka.schemas.codec import Codec
from tasker_kafka.schemas.codec import codec as default_codec
from tasker_kafka.schemas.errors import TaskerError
from tasker_kafka.schemas.words import Delivery
from tasker_kafka.topics.crash_points import NO_CRASH_POINTS, CrashPoints
from tasker_kafka.topics.declarations import group_tables
from tasker_kafka.topics.log import Log, Outbox
from tasker_kafka.topics.names import TopicNames, checked_name
from tasker_kafka.topics.provision import create

from .crash_points import DeliveryCrashPoint
from .dead_letters import PersistentWriter
from .desk import Desk
from .equipment import Equipment
from .figures import Figures
from .groups import GroupRegistry
from .intake import Intake
from .member import Membership
from .prepared import Subscriptions
from .receipts import ReceiptBook
from .retry_topics import GroupTopics, find_topics
from .settings import DeliverySettings
from .solitude import Solitude
from .undertaker import Undertaker

__all__ = ["Figures", "GroupMember"]

_logger = logging.getLogger(__name__)
T = TypeVar("T")

_LEAST_SECONDS: Final = 1.0
"""For each last step towards a log that may be gone."""
_DAY_SECONDS: Final = 86_400.0


class GroupMember:
    """Delivers a group's events to its handlers. `log` is started by the caller, and stays the caller's.

    spec: the group and its subscriptions
    settings: None: all defaults
    solitude: shared by all members of a process; None: this is the only one
    member_id: in receipts and in the broker's lists; unique in the group
    meter: what metrics are recorded with; None: the process's own

    ConfigurationError when the spec is faulty.
    """

    def __init__(
        self,
        log: Log,
        names: TopicNames,
        spec: SubscriberSpec,
        *,
        settings: DeliverySettings | None = None,
        codec: Codec = default_codec,
        member_id: str | None = None,
        crash_points: CrashPoints[DeliveryCrashPoint] = NO_CRASH_POINTS,
        solitude: Solitude | None = None,
        meter: Meter | None = None,
    ) -> None:
        checked_name("group", spec.group)
        self.member_id = member_id or f"{socket.gethostname()}-{os.getpid()}-{os.urandom(3).hex()}"
        self._log = log
        self._names = names
        self._spec = spec
        self._settings = settings or DeliverySettings()
        self._codec = codec
        self._crash_points = crash_points
        self._solitude = solitude or Solitude()
        self._subscriptions = Subscriptions(spec, self._settings.policy)
        self._counts = Figures()
        self._metrics = EventMetrics(spec.group, buckets=self._settings.latency_buckets, meter=meter)
        self._membership: Membership | None = None
        self._stopping = asyncio.Event()
        self._ready = asyncio.Event()
        self._failure: BaseException | None = None

    @property
    def figures(self) -> Figures:
        """What has been counted so far, with the gauges of now."""
        membership = self._membership
        if membership is not None:
            self._counts.in_flight, self._counts.waiting = membership.load
        return msgspec.structs.replace(self._counts)

    async def run(self) -> None:
        """Deliver until `stop`. Raises what makes it impossible to go on, after committing what is finished.

        TopicsDrifted when a topic is missing or does not fit; SchemaUnknown when a newer release has written an event
        that this one cannot read; FencedError when another process has taken this one's instance id.
        """
        async with AsyncExitStack() as closing:
            closing.callback(self._ready.set)
            outbox = await self._log.outbox(client_id=self.member_id)
            closing.push_async_callback(_shortly, outbox)
            while not self._stopping.is_set():
                topics = await self._unless_stopped(self._find_topics())
                if topics is None:
                    self._ready.set()
                    await self._sleep(self._settings.discover_seconds)
                else:
                    await self._deliver(topics, outbox)
        if self._failure is not None:
            raise self._failure

    async def wait_ready(self) -> None:
        """Wait until `run` has its partitions, or found no topic to read yet; ends also when `run` does."""
        await self._ready.wait()

    async def stop(self) -> None:
        """Ask `run` to end: running handlers may finish, within `shutdown_seconds`; what waits is left to others."""
        self._stopping.set()
        if self._membership is not None:
            self._membership.stop()

    # ------------------------------------------------------------------------------------- one set of topics

    async def _find_topics(self) -> GroupTopics | None:
        policies = [each.policy for each in self._subscriptions.all]
        return await find_topics(self._log, self._names, self._spec, self._settings, policies)

    async def _deliver(self, topics: GroupTopics, outbox: Outbox) -> None:
        """Be a member until `stop`, or until there are other topics to read."""
        for remark in topics.remarks:
            _logger.warning("group %s: %s", self._spec.group, remark)
        writer = PersistentWriter(outbox, self._settings)
        receipts = await self._unless_stopped(self._prepare(topics, outbox, writer))
        if self._stopping.is_set():
            return
        tasks = BackgroundTasks(self._fail)
        equipment = Equipment(
            log=self._log,
            names=self._names,
            spec=self._spec,
            subscriptions=self._subscriptions,
            settings=self._settings,
            codec=self._codec,
            writer=writer,
            undertaker=self._undertaker(topics, writer, receipts),
            topics=topics,
            figures=self._counts,
            metrics=self._metrics,
            tasks=tasks,
            crash_points=self._crash_points,
            solitude=self._solitude,
            on_error=self._fail,
            on_news=self._on_news,
        )
        desk = Desk(equipment)
        membership = self._membership = self._join(equipment, desk, receipts)
        watching = asyncio.create_task(self._watch_topics(topics, membership))
        try:
            await self._unless_stopped(self._run(membership))
        finally:
            watching.cancel()
            await self._wind_down(membership, desk, tasks)

    async def _prepare(
        self, topics: GroupTopics, outbox: Outbox, writer: PersistentWriter
    ) -> ReceiptBook | None:
        """What comes before joining. Waits as long as the log does not answer."""
        receipts = await self._receipts(writer)
        await self._announce(topics, writer)
        await outbox.warm([*topics.retries, *topics.dead_letters.values(), topics.fallback])
        return receipts

    def _undertaker(
        self, topics: GroupTopics, writer: PersistentWriter, receipts: ReceiptBook | None
    ) -> Undertaker:
        return Undertaker(
            self._log,
            self._names,
            topics,
            writer,
            group=self._spec.group,
            member_id=self.member_id,
            receipts=receipts,
            figures=self._counts,
            crash_points=self._crash_points,
        )

    def _join(self, equipment: Equipment, desk: Desk, receipts: ReceiptBook | None) -> Membership:
        settings = self._settings
        consumer = self._log.group(
            self._names.subscriber_group(self._spec.group),
            client_id=self.member_id,
            instance_id=settings.instance_id,
            session_timeout_ms=settings.session_timeout_ms,
            heartbeat_ms=settings.heartbeat_ms,
            co_partitioned=True,
        )
        return Membership(equipment, consumer, desk, Intake(equipment), receipts=receipts)

    async def _run(self, membership: Membership) -> None:
        telling = asyncio.create_task(self._tell_ready(membership))
        try:
            await membership.run()
        except Exception as error:
            if not self._stopping.is_set():
                self._fail(error)
        finally:
            telling.cancel()

    async def _tell_ready(self, membership: Membership) -> None:
        await membership.assigned.wait()
        self._ready.set()

    async def _watch_topics(self, topics: GroupTopics, membership: Membership) -> None:
        """End the membership when there is a topic more, or one less, to read, or one keeps its records less long."""
        try:
            await self._other_topics(topics)
        except Exception as error:
            # Nobody would look for topics any more, and events of a new one would wait unseen.
            self._fail(error)
        else:
            _logger.info("the topics of group %s have changed; it joins anew", self._spec.group)
            membership.stop()

    async def _other_topics(self, topics: GroupTopics) -> None:
        """Wait until other topics are to be read."""
        while True:
            await asyncio.sleep(self._settings.discover_seconds)
            try:
                now = await self._find_topics()
            except TaskerError as error:
                _logger.warning("topics cannot be looked for: %s", error.message)
                continue
            if now is not None and (now.all, now.kept_ms) != (topics.all, topics.kept_ms):
                return

    # ------------------------------------------------------------------------------------- acknowledged

    async def _receipts(self, writer: PersistentWriter) -> ReceiptBook | None:
        """The group's receipts; None when there is no topic for them and no subscription that says it needs one."""
        admin = self._log.admin()
        is_needed = any(each.said.delivery is Delivery.ACKNOWLEDGED for each in self._subscriptions.all)
        tables = group_tables(self._names)
        existing = await admin.describe([each.name for each in tables])
        if len(existing) < len(tables):
            if not is_needed:
                return None
            if self._settings.create_topics:
                await create(admin, tables, replication_factor=self._settings.replication_factor)
        return ReceiptBook(
            self._log,
            self._names,
            self._spec.group,
            ttl_seconds=self._settings.receipt_days * _DAY_SECONDS,
            writer=writer,
            codec=self._codec,
        )

    async def _announce(self, topics: GroupTopics, writer: PersistentWriter) -> None:
        """Say in the registry, if there is one, what this group takes."""
        if self._names.groups not in await self._log.admin().describe([self._names.groups]):
            return
        registry = GroupRegistry(self._log, self._names, codec=self._codec)
        try:
            await registry.announce(self._spec, writer, member=self.member_id, retry_topics=topics.retries)
        finally:
            await registry.close()

    # ------------------------------------------------------------------------------------- the end

    def _on_news(self) -> None:
        if self._membership is not None:
            self._membership.finished()

    def _fail(self, error: BaseException) -> None:
        """Something that must not happen: commit what is finished, and end."""
        if self._failure is None:
            self._failure = error
            _logger.error("the subscriber %s of group %s stops: %s", self.member_id, self._spec.group, error)
        self._stopping.set()
        if self._membership is not None:
            self._membership.stop()

    async def _wind_down(self, membership: Membership, desk: Desk, tasks: BackgroundTasks) -> None:
        """In this order: handlers end and their records are committed, then nothing runs any more."""
        closing = asyncio.create_task(membership.close())
        try:
            await asyncio.wait([closing], timeout=self._settings.shutdown_seconds)
        finally:
            closing.cancel()
            await desk.close()
            await tasks.close()
            self._membership = None
        if closing.done() and not closing.cancelled() and (error := closing.exception()) is not None:
            _logger.warning("not left in order: %s", error)

    async def _unless_stopped(self, work: Coroutine[Any, Any, T]) -> T | None:
        """Its result; None when `stop` comes first, which ends it wherever it waits."""
        task, stopping = asyncio.create_task(work), asyncio.create_task(self._stopping.wait())
        try:
            await asyncio.wait([task, stopping], return_when=asyncio.FIRST_COMPLETED)
            return task.result() if task.done() else None
        finally:
            stopping.cancel()
            if not task.done():
                task.cancel()
                await asyncio.wait([task], timeout=_LEAST_SECONDS)

    async def _sleep(self, seconds: float) -> None:
        """Until `stop`, at most this long."""
        try:
            await asyncio.wait_for(self._stopping.wait(), seconds)
        except TimeoutError:
            return


async def _shortly(outbox: Outbox) -> None:
    """Close it, without waiting long for a log that is gone."""
    closing: Awaitable[None] = outbox.close()
    try:
        async with asyncio.timeout(_LEAST_SECONDS):
            await closing
    except (TimeoutError, TaskerError) as error:
        _logger.warning("not closed in order: %s", error)
