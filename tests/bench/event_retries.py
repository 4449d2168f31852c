"""How late retries are that waited in a retry topic, while tens of thousands wait there for another hour.

Events come at a steady rate and fail once, so that ten seconds later as many retries are due per second. When each
was due is read from its record in the retry topic, when it was handled is what the handler noted.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass

from tasker_kafka.handlers.delivery.journey import unwrap
from tasker_kafka.schemas.identity import parse_id
from tasker_kafka.topics.log import Record, TopicPartition
from tests.bench.event_scene import EventScene
from tests.bench.figures import Spread, spread
from tests.bench.goals import Goal, at_most, goal_table
from tests.bench.machine import rss_bytes
from tests.bench.reading import read_range
from tests.bench.stage import BrokerAt
from tests.bench.subscribers import DELAY_SECONDS, PARKING, Note
from tests.bench.tables import aligned
from tests.bench.tool import Result, heading, report, say
from tests.support.system import PARTITIONS

__all__ = ["Late", "Wanted", "late_retries", "section"]

_HOUR_SECONDS = 3_600
_TIER = f"{DELAY_SECONDS}s"
_LOOK_SECONDS = 0.2
_MIB = 1024 * 1024


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """How many retries."""

    parked: int = 20_000
    """That wait beside. The default lets 10,000 lie parked in a partition."""
    per_second: int = 500
    seconds: int = 12
    idle_seconds: int = 3
    """Of looking at the group's process while nothing is due."""


@dataclass(frozen=True, kw_only=True)
class Late:
    """What became of the retries."""

    retries: int
    per_second: float
    """Due."""
    late_ms: Spread
    early: int
    missing: int


@dataclass(frozen=True, kw_only=True)
class Price:
    """What it took the group's process."""

    idle_share: float
    """Of a processor, while nothing was due."""
    cpu_share: float
    """Of a processor, while events failed and retries were due."""
    rss_mib: float
    crowding: float


def late_retries(dues: Mapping[int, int], notes: Iterable[Note], expected: int) -> Late:
    """Due times (ms) by number of the event, and what was noted; `expected`: so many events should be retried.

    AssertionError when none was.
    """
    retried = {number: done for number, attempt, _, done in notes if attempt > 1 and number in dues}
    late = [done - dues[number] for number, done in retried.items()]
    found = spread(late)
    if found is None:
        raise AssertionError("nothing was retried")
    times = [dues[number] for number in retried]
    return Late(
        retries=len(retried),
        per_second=1000 * (len(times) - 1) / max(1, max(times) - min(times)),
        late_ms=found,
        early=sum(each < 0 for each in late),
        missing=expected - len(retried),
    )


async def section(wanted: Wanted, broker: BrokerAt) -> Result:
    """Park many for an hour, look at the idle process, let retries become due."""
    head = heading(
        f"one broker; one group in a process of its own; {PARTITIONS} partitions; a delay of {DELAY_SECONDS} s through "
        "a retry topic"
    )
    async with EventScene.on(broker, [PARKING]) as scene:
        scene.keys = 1_000_000  # nothing waits for its key
        began = time.perf_counter()
        await scene.send([scene.make(fails=1, after=_HOUR_SECONDS) for _ in range(wanted.parked)])
        await scene.wait_done()
        say(f"{wanted.parked:,} events parked in {time.perf_counter() - began:.0f} s")
        idle = await _share(scene, wanted.idle_seconds)
        memory = rss_bytes(scene.system.roles[PARKING].pid) / _MIB
        begin = await _ends(scene)
        publishing = asyncio.create_task(scene.publish_steadily(wanted.per_second, wanted.seconds, fails=1))
        await asyncio.sleep(DELAY_SECONDS)
        busy = await _share(scene, wanted.seconds)
        await publishing
        await scene.wait_done()
        dues = await _dues(scene, begin, await _ends(scene))
        await asyncio.sleep(max(dues.values(), default=0) / 1000 - time.time() + 1)
        crowding, notes = scene.crowding(), await scene.stop()
    flat = [each for group in notes for each in group]
    late = late_retries(dues, flat, wanted.per_second * wanted.seconds)
    say(f"p99 late: {late.late_ms.p99:.0f} ms")
    price = Price(idle_share=idle, cpu_share=busy, rss_mib=memory, crowding=crowding)
    return Result(
        {"event-retries": report(head, _table(late, price, wanted.parked), goal_table(_goals(late)))},
        {"event-retries": {**head, "parked": wanted.parked, **asdict(late), **asdict(price)}},
    )


async def _share(scene: EventScene, seconds: float) -> float:
    """The share of a processor that the group takes in the next seconds."""
    before, began = scene.cpu(), time.perf_counter()
    await asyncio.sleep(seconds)
    return (scene.cpu() - before) / (time.perf_counter() - began)


async def _ends(scene: EventScene) -> dict[TopicPartition, int]:
    return await scene.system.ends([scene.system.names.retry(PARKING, _TIER)])


async def _dues(
    scene: EventScene, begin: Mapping[TopicPartition, int], end: Mapping[TopicPartition, int]
) -> dict[int, int]:
    """When each event that was parked between these offsets is due, ms; by its number."""
    found: dict[int, int] = {}
    async for batch in read_range(scene.system.bootstrap, begin, end):
        for raw in batch:
            record = Record(
                raw.topic, raw.partition, raw.offset, raw.timestamp, raw.key, raw.value, raw.headers
            )
            journey = unwrap(record)[1]
            if journey.event_id is not None:
                found[int.from_bytes(parse_id(journey.event_id), "big")] = journey.due_at
    return found


def _table(late: Late, price: Price, parked: int) -> str:
    times = late.late_ms
    rows = [
        ["events that wait for an hour beside", f"{parked:,}"],
        ["retries due per second", f"{late.per_second:,.0f}"],
        ["retries", f"{late.retries:,}"],
        ["late, p50 / p99 / max ms", f"{times.p50:,.1f} / {times.p99:,.1f} / {times.most:,.0f}"],
        ["early", f"{late.early:,}"],
        ["never", f"{late.missing:,}"],
        ["group's CPU, nothing due", f"{price.idle_share:.1%}"],
        ["group's CPU, events fail and retries are due", f"{price.cpu_share:.1%}"],
        ["group's memory, MiB", f"{price.rss_mib:,.0f}"],
        ["crowding", f"{price.crowding:.1f}"],
    ]
    return aligned(["retries", "figure"], rows)


def _goals(late: Late) -> list[Goal]:
    return [
        at_most("retries: p99 late ms", 250, late.late_ms.p99),
        at_most("retries: early", 0, late.early),
        at_most("retries: never", 0, late.missing),
    ]
