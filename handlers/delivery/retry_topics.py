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
_HEADROOM: Final = 64 * 1024


class GroupTopics(msgspec.Struct, frozen=True):
    """What a group's member reads."""

    sources: tuple[str, ...]
    retries: tuple[str, ...]
    """`redrive` among them."""
    dead_letters: Mapping[str, str]
    """Where dead letters of a source go; for what is no source's: `fallback`."""
    fallback: str

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

    TopicsDrifted when a source that is named does not exist, or when a topic may not be created.
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
    _refuse_narrow(await admin.describe([each for each in retries if each in existing]), partitions)
    return GroupTopics(
        tuple(sorted(sources)),
        tuple(retries),
        {each: _dead_letters_of(names, each, existing) or fallback for each in sources},
        fallback,
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
