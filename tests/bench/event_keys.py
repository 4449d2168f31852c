"""A key whose event fails for half a minute holds up its own successors: do the other keys notice?

Events of many keys come all the time, and of one key more. Stretches without and with a failing event of that key
alternate. It fails as the defaults have it: tried again after a second in place, then after 30 s from a retry topic,
through which its successors go, too.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise

from tests.bench.event_scene import KEYS, EventScene
from tests.bench.figures import Spread, spread
from tests.bench.goals import Goal, at_most, goal_table
from tests.bench.stage import BrokerAt
from tests.bench.subscribers import FAILING, Note
from tests.bench.tables import aligned
from tests.bench.tool import Result, heading, report, say
from tests.support.system import PARTITIONS

__all__ = ["Found", "Stretch", "Wanted", "found_in", "section"]

_KEY = "stuck"
_FAILS = 2
_BLOCKED_SECONDS = 31
"""The default delays before the second and the third delivery, 1 and 30 s."""
_TIERS = ("30s",)


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """How long, and how many events."""

    rounds: int = 2
    per_second: int = 500
    """Events of other keys."""
    own_per_second: int = 5
    """Events of the key, in both kinds of stretches."""
    seconds: int = 8
    """Of a stretch in which nothing fails."""
    warm_up: int = 5_000


@dataclass(frozen=True, kw_only=True)
class Stretch:
    """Events `first` to `last`, published while the key's event failed, or while nothing did."""

    is_failing: bool
    first: int
    last: int
    cpu_seconds: float
    """Of the group's process."""
    own: frozenset[int]
    """Those of the key."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """One stretch: latencies of the other keys."""

    is_failing: bool
    events: int
    latency_ms: Spread
    cpu_ms: float
    """Of the group's process per event."""


@dataclass(frozen=True, kw_only=True)
class Found:
    """What all stretches say."""

    rows: Sequence[Row]
    calm_ms: Spread
    failing_ms: Spread
    """Of the other keys' events, all stretches of a kind together."""
    held_up: int
    """The key's events that waited for the failing one."""
    overtaken: int
    """The key's events that were handled before an earlier one of theirs."""
    lost: int

    @property
    def change(self) -> float:
        """By which share the other keys' p99 is longer while the key's event fails."""
        return self.failing_ms.p99 / self.calm_ms.p99 - 1


def found_in(stretches: Sequence[Stretch], notes: Iterable[Note], published: int) -> Found:
    """Of what the group noted: for each event its last delivery is the one that succeeded."""
    handled: dict[int, tuple[float, float]] = {}
    for number, _, fired, done in notes:
        handled[number] = fired, max(done, handled.get(number, (0.0, 0.0))[1])
    rows = [_row(each, handled) for each in stretches]
    pooled = {
        is_failing: [
            wait for each in stretches if each.is_failing is is_failing for wait in _others(each, handled)
        ]
        for is_failing in (False, True)
    }
    own = [sorted(each.own & handled.keys()) for each in stretches]
    turns = [[handled[number][1] for number in each] for each in own]
    held_up = [
        number
        for each, numbers in zip(stretches, own, strict=True)
        if each.is_failing
        for number in numbers[1:]
        if handled[number][0] < handled[numbers[0]][1]
    ]
    return Found(
        rows=rows,
        calm_ms=_spread(pooled[False]),
        failing_ms=_spread(pooled[True]),
        held_up=len(held_up),
        overtaken=sum(later < earlier for each in turns for earlier, later in pairwise(each)),
        lost=published - len(handled),
    )


def _others(stretch: Stretch, handled: Mapping[int, tuple[float, float]]) -> list[float]:
    numbers = (each for each in range(stretch.first, stretch.last + 1) if each not in stretch.own)
    return [handled[each][1] - handled[each][0] for each in numbers if each in handled]


def _row(stretch: Stretch, handled: Mapping[int, tuple[float, float]]) -> Row:
    events = stretch.last - stretch.first + 1
    return Row(
        is_failing=stretch.is_failing,
        events=events,
        latency_ms=_spread(_others(stretch, handled)),
        cpu_ms=1000 * stretch.cpu_seconds / events,
    )


def _spread(values: Sequence[float]) -> Spread:
    found = spread(values)
    if found is None:
        raise AssertionError("nothing was handled")
    return found


async def section(wanted: Wanted, broker: BrokerAt) -> Result:
    """Stretch by stretch, on one group."""
    head = heading(
        f"one broker; one group in a process of its own, default delays; {PARTITIONS} partitions; {KEYS:,} keys and "
        "the one that fails"
    )
    async with EventScene.on(broker, [FAILING]) as scene:
        await scene.send([scene.make() for _ in range(wanted.warm_up)])
        await scene.wait_done()
        stretches = [
            await _stretch(scene, wanted, is_failing=is_failing)
            for _ in range(wanted.rounds)
            for is_failing in (False, True)
        ]
        crowding, published, notes = scene.crowding(), scene.published, await scene.stop()
    found = found_in(stretches, [each for group in notes for each in group], published)
    say(f"p99 of other keys {found.calm_ms.p99:.1f} ms, while one fails {found.failing_ms.p99:.1f} ms")
    return Result(
        {"event-keys": report(head, _table(found, crowding), goal_table(_goals(found)))},
        {"event-keys": {**head, **asdict(found), "change": found.change, "crowding": crowding}},
    )


async def _stretch(scene: EventScene, wanted: Wanted, *, is_failing: bool) -> Stretch:
    """Publish for as long as the key's event fails, or for a while; then wait until the group has it all."""
    seconds = _BLOCKED_SECONDS if is_failing else wanted.seconds
    first, before = scene.published + 1, scene.cpu()
    own = {scene.fire(_KEY, fails=_FAILS if is_failing else 0)}

    async def publish_own() -> None:
        for _ in range(wanted.own_per_second * seconds):
            await asyncio.sleep(1 / wanted.own_per_second)
            own.add(scene.fire(_KEY))

    beside = asyncio.create_task(publish_own())
    await scene.publish_steadily(wanted.per_second, seconds)
    await beside
    await scene.wait_done()
    await scene.wait_retried(FAILING, _TIERS)
    used = scene.cpu() - before
    return Stretch(
        is_failing=is_failing, first=first, last=scene.published, cpu_seconds=used, own=frozenset(own)
    )


def _table(found: Found, crowding: float) -> str:
    def cells(row: Row) -> list[str]:
        times = row.latency_ms
        return [
            "failing" if row.is_failing else "calm",
            f"{row.events:,}",
            f"{times.p50:.1f} / {times.p99:.1f} / {times.most:.0f}",
            f"{row.cpu_ms:.3f}",
        ]

    kept = (
        f"Events of the key that waited for the failing one: {found.held_up:,}. Handled before an earlier one of "
        f"theirs: {found.overtaken:,}. Crowding {crowding:.1f}."
    )
    columns = ["stretch", "events", "other keys: p50 / p99 / max ms", "CPU ms/event"]
    return f"{aligned(columns, [cells(row) for row in found.rows])}\n\n{kept}"


def _goals(found: Found) -> list[Goal]:
    return [
        at_most("other keys' p99 while a key's event fails, by so much longer", 0.10, found.change, ".0%"),
        at_most("events of the key handled before an earlier one", 0, found.overtaken),
        at_most("events lost", 0, found.lost),
    ]
