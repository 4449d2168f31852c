"""The topics a group delivers from and writes to: which they are, and what is created of them at the start.

Retry topics are found, too, not only computed: those that an older release needed may still hold events.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

from tasker_kafka.handlers.subscribing.subscription import SubscriberSpec
from tasker_kafka.schemas.errors import TopicsDrifted
from tasker_kafka.topics.declarations import TopicDeclaration, group_dlq_declaration, retry_declaration
from tasker_kafka.topics.log import Log, TopicDescription
from tasker_kafka.topics.names import TopicNames
from tasker_kafka.topics.provision import create

from .policy import REDRIVE_TIER, DeliveryPolicy, tiers_of
from .settings import DeliverySettings

__all__ = ["GroupTopics", "find_topics"]

_logger = logging.getLogger(__name__)
_SIZE: Final = "max.message.bytes"
_RETENTION: Final = "retention.ms"
_BYTES: Final = "retention.bytes"
_CLEANUP: Final = "cleanup.policy"
_HEADROOM: Final = 64 * 1024


class GroupTopics(msgspec.Struct, frozen=True):
    """What a group's member reads."""

    sources: tuple[str, ...]
    retries: tuple[str, ...]
    """`redrive` among them."""
    dead_letters: Mapping[str, str]
    """Where dead letters of a source go; for what is no source's: `fallback`."""
    fallback: str
    kept_ms: Mapping[str, int] = msgspec.field(default_factory=dict)
    """How long a source or retry topic keeps a record; missing: for ever."""
    remarks: tuple[str, ...] = ()
    """What is amiss with them, for an operator."""

    @property
    def all(self) -> tuple[str, ...]:
        """Everything that is subscribed to."""
        return (*self.sources, *self.retries)


async def find_topics(
    log: Log,
    names: TopicNames,
    spec: SubscriberSpec,
    settings: DeliverySettings,
    policies: Iterable[DeliveryPolicy],
) -> GroupTopics | None:
    """The group's topics; what is missing and may be created is. None: there is no source yet.

    TopicsDrifted when a source that is named does not exist, when a topic may not be created, or when a retry topic
    would lose events.
    """
    admin = log.admin()
    existing = await admin.names()
    sources = _sources(names, spec, existing)
    if not sources:
        return None
    described = await admin.describe(sources)
    partitions = max(each.partitions for each in described.values())
    tiers = [*(tier.name for tier in tiers_of(policies)), REDRIVE_TIER]
    wanted = [
        retry_declaration(names, spec.group, tier, partitions=partitions, days=settings.retry_days)
        for tier in tiers
    ]
    wanted.append(group_dlq_declaration(names, spec.group, partitions=partitions, days=settings.dlq_days))
    await _provide(log, [_as_large(each, described) for each in wanted], existing, settings)
    fallback = names.group_dlq(spec.group)
    retries = sorted(_retries(names, spec.group, {*existing, *(each.name for each in wanted)}))
    dead_letters = {each: _dead_letters_of(names, each, existing) or fallback for each in sources}
    targets = {*retries, *dead_letters.values(), fallback} & existing
    there = await admin.describe(targets)
    before = {name: each for name, each in there.items() if name in retries}
    _refuse_narrow(before, partitions)
    _refuse_compacted(before)
    configs = {each.name: each.config for each in wanted}
    configs |= {name: each.config for name, each in (described | there).items()}
    return GroupTopics(
        tuple(sorted(sources)),
        tuple(retries),
        dead_letters,
        fallback,
        _kept({name: configs[name] for name in (*sources, *retries)}),
        tuple(sorted([*_too_small(described, there), *_bounded(before)])),
    )


def _sources(names: TopicNames, spec: SubscriberSpec, existing: set[str]) -> set[str]:
    if not spec.namespaces and not spec.topics:
        return {each for each in existing if names.namespace_of(each) is not None}
    wanted = {*map(names.domain_events, spec.namespaces), *spec.topics}
    missing = sorted(wanted - existing)
    if missing:
        raise TopicsDrifted(
            f"group {spec.group} subscribes to topics that do not exist: {', '.join(missing)}",
            next_step="publish the templates of that namespace and run `tasker topics create`, or create them",
        )
    return wanted


def _retries(names: TopicNames, group: str, existing: set[str]) -> list[str]:
    return [each for each in existing if names.retry_delay_of(group, each) is not None]


def _dead_letters_of(names: TopicNames, source: str, existing: set[str]) -> str | None:
    namespace = names.namespace_of(source)
    topic = None if namespace is None else names.domain_events_dlq(namespace)
    return topic if topic in existing else None


def _refuse_narrow(retries: Mapping[str, TopicDescription], partitions: int) -> None:
    """A retry lies in the partition of its original's number, so there must be one."""
    narrow = [
        f"{each.name} has {each.partitions}" for each in retries.values() if each.partitions < partitions
    ]
    if narrow:
        raise TopicsDrifted(
            f"a source has {partitions} partitions, its group's retry topics fewer: {', '.join(sorted(narrow))}",
            next_step=f"add partitions to them, up to {partitions}",
        )


def _refuse_compacted(retries: Mapping[str, TopicDescription]) -> None:
    """Compaction would keep one of several events of a key."""
    compacted = [each.name for each in retries.values() if "compact" in each.config.get(_CLEANUP, "")]
    if compacted:
        raise TopicsDrifted(
            f"retry topics may not be compacted, they would lose events: {', '.join(sorted(compacted))}",
            next_step=f"set `{_CLEANUP}` of each to delete",
        )


def _kept(configs: Mapping[str, Mapping[str, str]]) -> dict[str, int]:
    """How long each topic keeps its records, ms; those that keep them for ever are left out."""
    times = {
        name: int(config.get(_RETENTION, "-1"))
        for name, config in configs.items()
        if "delete" in config.get(_CLEANUP, "delete")
    }
    return {name: kept for name, kept in times.items() if kept >= 0}


def _too_small(
    sources: Mapping[str, TopicDescription], targets: Mapping[str, TopicDescription]
) -> Iterable[str]:
    largest = max(int(each.config.get(_SIZE, "0")) for each in sources.values())
    for each in targets.values():
        size = int(each.config.get(_SIZE, str(largest)))
        if size < largest:
            yield (
                f"{each.name} takes {size} bytes, a source up to {largest}: of a larger event its dead letter holds "
                f"the place and a hash only, and its retries wait in memory; raise `{_SIZE}` of {each.name}"
            )


def _bounded(retries: Mapping[str, TopicDescription]) -> Iterable[str]:
    for each in retries.values():
        if int(each.config.get(_BYTES, "-1")) >= 0:
            yield f"{each.name} has `{_BYTES}`: beyond it events that wait there are lost; set it to -1"


def _as_large(declared: TopicDeclaration, sources: Mapping[str, TopicDescription]) -> TopicDeclaration:
    """Every original of these sources fits, with a journey beside it."""
    sizes = [int(each.config.get(_SIZE, "0")) + _HEADROOM for each in sources.values()]
    largest = max(*sizes, int(declared.config.get(_SIZE, "0")))
    return msgspec.structs.replace(declared, config=declared.config | {_SIZE: str(largest)})


async def _provide(
    log: Log, wanted: list[TopicDeclaration], existing: set[str], settings: DeliverySettings
) -> None:
    missing = [each for each in wanted if each.name not in existing]
    if not missing:
        return
    if not settings.create_topics:
        listed = "\n".join(
            f"  - {each.name}, {each.partitions} partitions, {each.config}" for each in missing
        )
        raise TopicsDrifted(
            f"topics of the group are missing and may not be created here:\n{listed}",
            next_step="create them, or allow it (`create_topics`)",
        )
    made = await create(log.admin(), missing, replication_factor=settings.replication_factor)
    _logger.info("created %s", ", ".join(made))
