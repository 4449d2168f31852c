"""How much a broker's log grows on disk: batches, their headers and whatever compression is configured, included.

Indexes are left out: they are allocated beforehand, and are a few bytes per batch.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

__all__ = ["grown", "log_bytes"]

_METADATA = "__cluster_metadata"


def log_bytes(log_dir: Path) -> dict[str, int]:
    """Bytes of the segments of every topic, the broker's own (offsets, transactions) included, its metadata not."""
    sizes: dict[str, int] = {}
    for segment in log_dir.glob("*-*/*.log"):
        topic = segment.parent.name.rpartition("-")[0]
        if topic != _METADATA:
            try:
                sizes[topic] = sizes.get(topic, 0) + segment.stat().st_size
            except FileNotFoundError:  # compacted away meanwhile
                continue
    return sizes


def grown(before: Mapping[str, int], now: Mapping[str, int]) -> dict[str, int]:
    """Bytes by which each topic has grown; one that was compacted meanwhile counts with what is left, at least 0."""
    return {topic: max(0, size - before.get(topic, 0)) for topic, size in now.items()}
