"""The published templates: a store that every role keeps in memory, and the one way to publish.

The templates topic holds each plan under its hash, and for each `namespace/name@version` which plan that is. A
store reads the topic whole and follows it, so a new version needs no restart. Publishing is a transaction of one
transactional id for the whole system: a second publisher fences the first, so what was compared is still true
when it is written, and other content under a published version is refused without a race.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from tasker_kafka.schemas.codec import Codec
from tasker_kafka.schemas.codec import codec as default_codec
from tasker_kafka.schemas.errors import DecodeError, LogError, SchemaUnknown, TemplateError
from tasker_kafka.schemas.identity import plan_json
from tasker_kafka.schemas.plan import Plan
from tasker_kafka.schemas.plan_json import decode_plan, version_key
from tasker_kafka.schemas.template_records import PublishedTemplate, TemplatePointer

from .log import Isolation, Log, Reader, Record, TopicPartition, Write
from .names import TopicNames

__all__ = ["PlanStore", "Published", "pointer_key", "publish"]

_LOGGER: Final = logging.getLogger(__name__)
_REOPEN_SECONDS: Final = 1.0

Place = tuple[str, str, str]
"""Namespace, name, version."""


def pointer_key(namespace: str, name: str, version: str) -> bytes:
    """Key of the record that says which plan a version is."""
    return f"{namespace}/{name}@{version}".encode()


class PlanStore:
    """Every published plan, in memory. `start` it, then ask; `catch_up` before a plan is called unknown."""

    def __init__(self, log: Log, names: TopicNames, *, codec: Codec = default_codec) -> None:
        self._log = log
        self._topic = names.templates
        self._codec = codec
        self._plans: dict[bytes, Plan] = {}
        self._newer: dict[bytes, SchemaUnknown] = {}
        self._pointers: dict[bytes, tuple[Place, bytes]] = {}
        self._versions: dict[tuple[str, str], dict[str, bytes]] = {}
        self._positions: dict[TopicPartition, int] = {}
        self._moved = asyncio.Condition()
        self._failure: LogError | None = None
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Read the topic to its end, then follow it. TopicsDrifted when the topic is missing."""
        count = await self._log.partition_count(self._topic)
        for number in range(count):
            partition = TopicPartition(self._topic, number)
            self._positions[partition] = await self._log.begin_offset(partition)
        self._task = asyncio.create_task(self._follow(), name="templates")
        try:
            await self.catch_up()
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Stop following. What was read can still be asked for."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        await self._tell(self._failure)

    async def catch_up(self) -> None:
        """Until everything published before the call is here. LogError when the topic cannot be read.

        Up to the very end, not to the last stable offset: a commit is acknowledged a moment before its markers lie
        in the topic, and what was published in it must be seen.
        """
        ends = {
            partition: await self._log.end_offset(partition, isolation=Isolation.UNCOMMITTED)
            for partition in self._positions
        }

        def is_here() -> bool:
            return all(self._positions[partition] >= end for partition, end in ends.items())

        def is_decided() -> bool:
            return is_here() or self._failure is not None or self._task is None

        async with self._moved:
            await self._moved.wait_for(is_decided)
        if not is_here():
            raise self._failure or LogError("the store of templates is stopped")

    def get(self, plan_hash: bytes) -> Plan | None:
        """The plan of this hash; None when it is not published, or not read yet.

        SchemaUnknown when a newer release published it in a form that this one cannot read.
        """
        if (newer := self._newer.get(plan_hash)) is not None:
            raise newer
        return self._plans.get(plan_hash)

    def resolve(self, namespace: str, name: str, version: str | None = None) -> Plan | None:
        """The plan of a template's version; of its highest version by number when None."""
        versions = self._versions.get((namespace, name))
        if not versions:
            return None
        if version is None:
            version = max(versions, key=version_key)
        plan_hash = versions.get(version)
        return None if plan_hash is None else self.get(plan_hash)

    def versions(self, namespace: str, name: str) -> list[str]:
        """A template's published versions, lowest first."""
        return sorted(self._versions.get((namespace, name), ()), key=version_key)

    def all(self) -> list[Plan]:
        """Every version's plan, by namespace, name and version."""
        found = [
            (namespace, name, version_key(version), plan)
            for (namespace, name), versions in self._versions.items()
            for version, plan_hash in versions.items()
            if (plan := self._plans.get(plan_hash)) is not None
        ]
        return [plan for *_, plan in sorted(found, key=lambda each: each[:3])]

    # ------------------------------------------------------------------------------------------- following

    async def _follow(self) -> None:
        """Read for ever; a failure is told to who waits, then the reader is opened anew."""
        while True:
            reader: Reader | None = None
            try:
                reader = await self._log.reader(dict(self._positions))
                while True:
                    await self._read_on(reader)
            except LogError as error:
                _LOGGER.warning("reading %s failed, trying again: %s", self._topic, error.message)
                await self._tell(error)
            finally:
                if reader is not None:
                    await reader.close()
            await asyncio.sleep(_REOPEN_SECONDS)

    async def _read_on(self, reader: Reader) -> None:
        for partition, batch in (await reader.fetch()).items():
            for record in batch.records:
                self._take(record)
            self._positions[partition] = batch.next_position
        await self._tell(None)

    async def _tell(self, failure: LogError | None) -> None:
        async with self._moved:
            self._failure = failure
            self._moved.notify_all()

    def _take(self, record: Record) -> None:
        """Take note of one record. A damaged one is passed over: a plan it hides is unknown, not another plan."""
        if record.key is None:
            return
        if record.value is None:
            self._forget(record.key)
            return
        try:
            value = self._codec.decode_template_record(record.value)
            if isinstance(value, TemplatePointer):
                self._point(record.key, value)
            else:
                self._plans[value.plan_hash] = decode_plan(value.plan, value.plan_hash)
                self._newer.pop(value.plan_hash, None)
        except SchemaUnknown as error:
            self._newer[record.key] = error
        except DecodeError as error:
            _LOGGER.error(
                "%s-%d@%d is no template: %s", record.topic, record.partition, record.offset, error.message
            )

    def _point(self, key: bytes, pointer: TemplatePointer) -> None:
        place = (pointer.namespace, pointer.name, pointer.version)
        self._pointers[key] = (place, pointer.plan_hash)
        self._versions.setdefault(place[:2], {})[pointer.version] = pointer.plan_hash

    def _forget(self, key: bytes) -> None:
        self._plans.pop(key, None)
        self._newer.pop(key, None)
        known = self._pointers.pop(key, None)
        if known is not None:
            namespace, name, version = known[0]
            self._versions[namespace, name].pop(version, None)


class Published(msgspec.Struct, frozen=True):
    """What became of a plan that was to be published."""

    namespace: str
    name: str
    version: str
    plan_hash: bytes
    """Hash under which the version is published: an earlier release's, if that had published the same content."""
    is_new: bool
    """False: the same content was published already, and nothing was written."""


async def publish(
    log: Log,
    names: TopicNames,
    plans: Sequence[Plan],
    *,
    sources: Mapping[bytes, str] | None = None,
    publisher: str = "unknown",
    codec: Codec = default_codec,
) -> list[Published]:
    """Publish all of these plans or none, in one transaction.

    sources: the text that a plan (by its hash) was compiled from, for people.
    TemplateError when a version is published with other content; FencedError when somebody else published
    meanwhile: publish again.
    """
    writer = log.transactional(names.templates_writer)
    await writer.start()
    store = PlanStore(log, names, codec=codec)
    try:
        await store.start()
        found = _compare(store, plans)
        writes: list[Write] = []
        for plan, each in zip(plans, found, strict=True):
            if each.is_new:
                source = (sources or {}).get(plan.hash, "")
                writes += _writes(
                    names.templates, plan, codec, source=source, publisher=publisher, now_ms=log.now_ms()
                )
        if writes:
            await writer.commit(writes)
    finally:
        await store.stop()
        await writer.close()
    return found


def _compare(store: PlanStore, plans: Sequence[Plan]) -> list[Published]:
    """What is new. The published plan counts as the same if it says the same, whatever release wrote it."""
    found: list[Published] = []
    taken: dict[Place, Plan] = {}
    for plan in plans:
        place = (plan.namespace, plan.name, plan.version)
        known = taken.get(place) or store.resolve(*place)
        if known is not None and known.hash != plan.hash and not _is_same(known, plan):
            raise TemplateError(
                f"{plan.namespace}/{plan.name} {plan.version} is published with other content",
                next_step="give the changed template a new version; tasks in flight keep the one they began with",
            )
        named = plan.hash if known is None else known.hash
        found.append(Published(*place, plan_hash=named, is_new=known is None))
        taken[place] = plan
    return found


def _is_same(known: Plan, plan: Plan) -> bool:
    """Whether they say the same. Where a plan is deployed is not what it says; the first publication tells it."""
    return msgspec.structs.replace(known, environment=plan.environment) == plan


def _writes(topic: str, plan: Plan, codec: Codec, *, source: str, publisher: str, now_ms: int) -> list[Write]:
    """The plan, then what points to it: a reader that stops between them has a plan too many, not one too few."""
    template = PublishedTemplate(
        plan_hash=plan.hash, plan=plan_json(plan), source=source, published_at=now_ms, published_by=publisher
    )
    pointer = TemplatePointer(
        namespace=plan.namespace, name=plan.name, version=plan.version, plan_hash=plan.hash
    )
    key = pointer_key(plan.namespace, plan.name, plan.version)
    return [Write(topic, plan.hash, codec.encode(template)), Write(topic, key, codec.encode(pointer))]
