"""What a run has shown: how long recovery took, and which steps ran more than once because of what."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tasker_kafka.schemas.identity import dispatch_key
from tasker_kafka.topics.partitioner import partition_for
from tests.checker import Ledger
from tests.checker.ledger import Started
from tests.faults.observer import Observer
from tests.faults.rig import Outcome

__all__ = ["Injected", "Repeats", "Starts", "percentile", "recoveries", "repeats"]

RECENT_MS = 10_000
"""A worker that has started nothing of a partition for so long is not taken for its owner."""


@dataclass(frozen=True)
class Injected:
    """A fault of the run."""

    kind: str
    outcome: Outcome
    point: str | None = None


def recoveries(faults: Sequence[Injected], observer: Observer, starts: Starts) -> dict[str, list[int]]:
    """Per kind, ms from each fault to the first new accepted record of each partition it took, or the first start."""
    found: dict[str, list[int]] = defaultdict(list)
    for each in faults:
        outcome = each.outcome
        for number, owner in outcome.partitions.items():
            moment = observer.views[number].next_accepted(outcome.since or outcome.at, owner_above=owner)
            if moment is not None:
                found[each.kind].append(moment - outcome.at)
        if outcome.mended_ms:
            found[each.kind] += outcome.mended_ms
        for pid in outcome.workers:
            found[each.kind] += starts.recoveries(pid, outcome.at)
    return found


class Starts:
    """The starts of handlers by the partition of the queue that their dispatch came from."""

    def __init__(self, started: Iterable[Started], partitions: int) -> None:
        self._by_partition: dict[int, list[tuple[int, int]]] = defaultdict(list)
        for each in sorted(started, key=lambda one: one.at):
            key = dispatch_key(bytes.fromhex(each.task_id), each.step)
            self._by_partition[partition_for(key, partitions)].append((each.at, each.worker))

    def recoveries(self, pid: int, at: int) -> list[int]:
        """For each partition that this process served, ms from `at` to the next start by another process."""
        found = []
        for starts in self._by_partition.values():
            place = bisect_left(starts, (at, 0))
            if not place or starts[place - 1][1] != pid or starts[place - 1][0] < at - RECENT_MS:
                continue
            after = next((moment for moment, other in starts[place:] if other != pid), None)
            if after is not None:
                found.append(after - at)
        return found


@dataclass(frozen=True)
class Repeats:
    """Starts of handlers beyond the first of each attempt."""

    starts: int
    attempts: int
    by_fault: Counter[str]
    """By the kind of the last fault before the repeat."""

    @property
    def total(self) -> int:
        """All of them."""
        return self.starts - self.attempts


def repeats(ledger: Ledger, faults: Sequence[Injected]) -> Repeats:
    """Count the starts of every attempt."""
    moments = sorted((each.outcome.at, each.kind) for each in faults)
    seen: set[tuple[str, int, str, int]] = set()
    by_fault: Counter[str] = Counter()
    for each in sorted(ledger.started, key=lambda one: one.at):
        attempt = each.task_id, each.life, each.step, each.attempt
        if attempt in seen:
            place = bisect_right(moments, each.at, key=lambda moment: moment[0])
            by_fault[moments[place - 1][1] if place else "none"] += 1
        seen.add(attempt)
    return Repeats(len(ledger.started), len(seen), by_fault)


def percentile(values: Sequence[int], share: float) -> int | None:
    """The value below which this share of the values lies; None without values."""
    if not values:
        return None
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
