"""Creates topics as declared, and refuses to work on topics that are not.

`tasker topics create` creates; a running role only verifies. A topic may keep records longer or take larger ones
than declared: that is the operator's to choose. Anything less, or another kind of topic, is drift.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from tasker_kafka.schemas.codec import published_schemas
from tasker_kafka.schemas.errors import TopicsDrifted

from .declarations import TopicDeclaration
from .log import Log, TopicAdmin, TopicDescription, Write
from .names import TopicNames

__all__ = ["Drift", "create", "find_drift", "publish_schemas", "refuse", "repair", "verify"]

PARTITIONS: Final = "partitions"
EXISTS: Final = "exists"

_AT_LEAST: Final = frozenset(
    {"retention.ms", "delete.retention.ms", "max.message.bytes", "min.insync.replicas"}
)
"""Settings of which more is no drift."""
_ADVICE: Final = frozenset(
    {"segment.bytes", "min.cleanable.dirty.ratio", "max.compaction.lag.ms", "compression.type"}
)
"""Settings that are given at creation and then left to the operator: they change no promise."""
_FOR_EVER: Final = -1


class Drift(msgspec.Struct, frozen=True):
    """One difference between a topic and its declaration, and what to do about it."""

    topic: str
    setting: str
    """`exists`, `partitions`, or a topic setting."""
    expected: str
    found: str
    way_out: str

    @property
    def is_repairable(self) -> bool:
        """Whether `repair` can mend it: a setting."""
        return self.setting not in {EXISTS, PARTITIONS}

    def __str__(self) -> str:
        return f"{self.topic}: {self.setting} should be {self.expected}, is {self.found}; {self.way_out}"


async def create(
    admin: TopicAdmin, declared: Sequence[TopicDeclaration], *, replication_factor: int = 1
) -> list[str]:
    """Create the topics that are missing: their names. Topics that exist are left as they are."""
    existing = await admin.describe([each.name for each in declared])
    missing = [each for each in declared if each.name not in existing]
    if missing:
        await admin.create([each.described(replication_factor) for each in missing])
    return [each.name for each in missing]


async def publish_schemas(log: Log, names: TopicNames) -> None:
    """Write this release's schemas to the schemas topic, so that an older release can tell newer from damaged.

    Repeated at every start: a compacted topic keeps one of each.
    """
    outbox = await log.outbox(client_id="tasker-schemas")
    try:
        await outbox.warm([names.schemas])
        for mark, text in published_schemas().items():
            outbox.send(Write(names.schemas, mark, text.encode()))
        await outbox.flush()
    finally:
        await outbox.close()


async def verify(admin: TopicAdmin, declared: Sequence[TopicDeclaration]) -> list[Drift]:
    """Every difference between the declared topics and the broker's; empty when all is well."""
    return find_drift(declared, await admin.describe([each.name for each in declared]))


def refuse(drifts: Iterable[Drift]) -> None:
    """TopicsDrifted naming every difference, if there is any."""
    found = list(drifts)
    if found:
        raise TopicsDrifted(
            "the topics are not as declared:\n" + "\n".join(f"  - {each}" for each in found),
            next_step="mend them, then start again; `tasker topics verify` shows this list",
        )


async def repair(admin: TopicAdmin, drifts: Iterable[Drift]) -> list[Drift]:
    """Set the settings that differ; what is left (missing topics, partition counts) is returned."""
    wanted: dict[str, dict[str, str]] = {}
    left: list[Drift] = []
    for each in drifts:
        if each.is_repairable:
            wanted.setdefault(each.topic, {})[each.setting] = each.expected
        else:
            left.append(each)
    for name, config in wanted.items():
        await admin.update_config(name, config)
    return left


def find_drift(declared: Iterable[TopicDeclaration], existing: dict[str, TopicDescription]) -> list[Drift]:
    """The differences, by topic in the order of the declarations."""
    found: list[Drift] = []
    for each in declared:
        topic = existing.get(each.name)
        if topic is None:
            found.append(Drift(each.name, EXISTS, "yes", "no", "run `tasker topics create`"))
            continue
        found += _partitions_drift(each, topic)
        found += _settings_drift(each, topic)
    return found


def _partitions_drift(declared: TopicDeclaration, topic: TopicDescription) -> list[Drift]:
    if topic.partitions == declared.partitions:
        return []
    if declared.co_partitioned:
        way_out = (
            "tasks belong to partitions by their ids, so the count cannot change: "
            f"set topics.partitions to {topic.partitions}, or use another prefix"
        )
    elif topic.partitions < declared.partitions:
        way_out = "add partitions"
    else:
        return []
    return [Drift(topic.name, PARTITIONS, str(declared.partitions), str(topic.partitions), way_out)]


def _settings_drift(declared: TopicDeclaration, topic: TopicDescription) -> list[Drift]:
    kept = _kept_for_ever(declared.config, topic.config)
    return [
        Drift(
            topic.name,
            setting,
            expected,
            found,
            f"set {setting}={expected} on it, as `tasker topics repair` does",
        )
        for setting, expected in declared.config.items()
        if setting not in _ADVICE
        and setting not in kept
        and (found := topic.config.get(setting, "unset")) != expected
        and not _is_enough(setting, expected, found)
    ]


def _kept_for_ever(expected: dict[str, str], found: dict[str, str]) -> frozenset[str]:
    """Settings that do not matter because the topic is only compacted where it may delete, too: it keeps more.

    So were receipts before they had an age limit.
    """
    policies = set(expected.get("cleanup.policy", "").split(","))
    is_more = policies == {"compact", "delete"} and found.get("cleanup.policy") == "compact"
    return frozenset({"cleanup.policy", "retention.ms"}) if is_more else frozenset()


def _is_enough(setting: str, expected: str, found: str) -> bool:
    if setting not in _AT_LEAST:
        return False
    try:
        wanted, there = int(expected), int(found)
    except ValueError:
        return False
    if setting == "retention.ms" and _FOR_EVER in {wanted, there}:
        return there == _FOR_EVER
    return there >= wanted
