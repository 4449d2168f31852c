"""Prints the generated part of docs/reference/records.md: `python -m tasker_kafka.topics.reference`.

A test compares it with the page, so that the page cannot fall behind the declarations.
"""

from __future__ import annotations

import re
import sys

from .declarations import (
    TopicDeclaration,
    TopicPlan,
    declarations,
    group_dlq_declaration,
    retry_declaration,
)
from .names import TopicNames

__all__ = ["generated"]

_DAY_MS = 86_400_000
_MIB = 1024 * 1024
_NAMES = TopicNames("prefix")
_PLACEHOLDER = re.compile(r"\b(prefix|queue|namespace|group|delay)\b(?=\.)")


def generated() -> str:
    """A table of every topic with the defaults of the settings."""
    plan = TopicPlan()
    declared = declarations(_NAMES, plan, queues=["queue"], namespaces=["namespace"])
    declared.append(retry_declaration(_NAMES, "group", "delay", partitions=plan.partitions))
    declared.append(group_dlq_declaration(_NAMES, "group", partitions=plan.partitions))
    lines = ["| topic | key | value | partitions | policy |", "|---|---|---|---|---|"]
    return "\n".join([*lines, *map(_row, declared)]) + "\n"


def _row(topic: TopicDeclaration) -> str:
    name = _PLACEHOLDER.sub(r"<\1>", topic.name)
    values = [f"[`{each.__name__}`](../../schemas/avro/{each.__name__}.avsc)" for each in topic.values]
    if topic.holds_originals or not values:
        values.insert(0, "bytes")
    return f"| `{name}` | {topic.key} | {', '.join(values)} | {topic.partitions} | {_policy(topic.config)} |"


def _policy(config: dict[str, str]) -> str:
    parts = []
    policies = config["cleanup.policy"].split(",")
    if "compact" in policies:
        parts.append(f"compact, tombstones {int(config['delete.retention.ms']) // _DAY_MS} d")
    if "delete" in policies:
        parts.append(f"delete, {int(config['retention.ms']) // _DAY_MS} d")
    if config.get("message.timestamp.type") == "LogAppendTime":
        parts.append("broker's time")
    if "compression.type" in config:
        parts.append(config["compression.type"])
    largest = int(config["max.message.bytes"])
    if largest != _MIB:
        parts.append(f"records up to {largest // 1024} KiB")
    return ", ".join(parts)


if __name__ == "__main__":
    sys.stdout.write(generated())
