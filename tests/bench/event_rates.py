"""How many events are delivered, at what price, how soon: each promise with one group and with three.

First many events are published at once, then some per second for a while. The first seconds of that are told apart:
after the drain everybody waits again, and the broker compiles and collects what it did not need before.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from tasker_kafka.schemas.words import Delivery
from tests.bench.event_scene import KEYS, EventScene
from tests.bench.figures import percentile
from tests.bench.goals import Goal, at_most, goal_table
from tests.bench.machine import cpu_seconds
from tests.bench.stage import BrokerAt
from tests.bench.subscribers import GROUPS
from tests.bench.tables import aligned
from tests.bench.tool import Result, heading, report, say
from tests.support.system import PARTITIONS

__all__ = ["Wanted", "section"]


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """How many events."""

    events: int = 15_000
    """Published at once."""
    per_second: int = 500
    settle_seconds: int = 3
    """Of publishing so many per second, told apart."""
    seconds: int = 10
    """Of publishing so many per second after that."""
    warm_up: int = 3_000


@dataclass(frozen=True, kw_only=True)
class Row:
    """What one scene showed. CPU in ms per delivery: an event to one group."""

    delivery: str
    groups: int
    events_per_second: float
    """From the first one fired to the last one handled by the last group."""
    cpu_ms: float
    """Of the groups' processes."""
    broker_cpu_ms: float | None
    settling_p50_ms: float
    settling_p99_ms: float
    """From fired to handled, in the first seconds of so many per second."""
    p50_ms: float
    p99_ms: float
    """The same after these seconds."""
    lost: int


async def section(wanted: Wanted, broker: BrokerAt) -> Result:
    """Every promise, with one group and with all."""
    head = heading(
        f"one broker; each group in a process of its own; {PARTITIONS} partitions; {KEYS:,} keys; acks=all"
    )
    rows: list[Row] = []
    for delivery in Delivery:
        for groups in (GROUPS[:1], GROUPS):
            row = await _measured(wanted, broker, delivery, groups)
            rows.append(row)
            say(
                f"{row.delivery}, {row.groups}: {row.events_per_second:,.0f} events/s, {row.cpu_ms:.3f} ms CPU, "
                f"settling {row.settling_p50_ms:.0f} / {row.settling_p99_ms:.0f} ms, "
                f"then p50 {row.p50_ms:.0f} ms, p99 {row.p99_ms:.0f} ms"
            )
    return Result(
        {"events": report(head, _table(wanted, rows), goal_table(_goals(rows)))},
        {"events": {**head, "rows": [asdict(row) for row in rows]}},
    )


async def _measured(wanted: Wanted, broker: BrokerAt, delivery: Delivery, groups: Sequence[str]) -> Row:
    """One scene."""
    async with EventScene.on(broker, groups, delivery) as scene:
        await _at_once(scene, wanted.warm_up)
        before, broker_before = scene.cpu(), _broker_cpu(broker)
        await _at_once(scene, wanted.events)
        cpu, broker_cpu = scene.cpu() - before, _broker_cpu(broker) - broker_before
        await scene.publish_steadily(wanted.per_second, wanted.settle_seconds + wanted.seconds)
        await scene.wait_done()
        published, notes = scene.published, await scene.stop()
    first, last = wanted.warm_up, wanted.warm_up + wanted.events
    drained = [each for group in notes for each in group if first < each[0] <= last]
    settled = last + wanted.per_second * wanted.settle_seconds
    settling = [
        done - fired for group in notes for number, _, fired, done in group if last < number <= settled
    ]
    steady = [done - fired for group in notes for number, _, fired, done in group if number > settled]
    took = max(each[3] for each in drained) - min(each[2] for each in drained)
    deliveries = wanted.events * len(groups)
    return Row(
        delivery=delivery.value,
        groups=len(groups),
        events_per_second=1000 * wanted.events / took,
        cpu_ms=1000 * cpu / deliveries,
        broker_cpu_ms=None if broker.pid is None else 1000 * broker_cpu / deliveries,
        settling_p50_ms=percentile(settling, 0.5),
        settling_p99_ms=percentile(settling, 0.99),
        p50_ms=percentile(steady, 0.5),
        p99_ms=percentile(steady, 0.99),
        lost=published * len(groups)
        - len({(at, each[0]) for at, group in enumerate(notes) for each in group}),
    )


def _broker_cpu(broker: BrokerAt) -> float:
    return 0.0 if broker.pid is None else cpu_seconds(broker.pid)


async def _at_once(scene: EventScene, count: int) -> None:
    await scene.send([scene.make() for _ in range(count)])
    await scene.wait_done()


def _table(wanted: Wanted, rows: Sequence[Row]) -> str:
    def cells(row: Row) -> list[str]:
        broker = "–" if row.broker_cpu_ms is None else f"{row.broker_cpu_ms:.3f}"
        return [
            row.delivery,
            str(row.groups),
            f"{row.events_per_second:,.0f}",
            f"{row.cpu_ms:.3f}",
            broker,
            f"{row.settling_p50_ms:.0f} / {row.settling_p99_ms:.0f}",
            f"{row.p50_ms:.0f} / {row.p99_ms:.0f}",
            f"{row.lost:,}",
        ]

    settling = f"first {wanted.settle_seconds} s: p50 / p99 ms"
    latency = f"then at {wanted.per_second}/s: p50 / p99 ms"
    return aligned(
        ["promise", "groups", "events/s", "CPU ms/delivery", "broker's", settling, latency, "lost"],
        [cells(row) for row in rows],
    )


def _goals(rows: Sequence[Row]) -> list[Goal]:
    durable = next(row for row in rows if row.delivery == Delivery.DURABLE and row.groups == 1)
    kept = [row.lost for row in rows if row.delivery != Delivery.FIRE_AND_FORGET]
    return [
        at_most("durable: CPU ms per delivery", 0.060, durable.cpu_ms, ".3f"),
        at_most("durable: p50 ms from fired to handled", 10, durable.p50_ms, ".1f"),
        at_most("durable: p99 ms from fired to handled", 30, durable.p99_ms, ".1f"),
        at_most("durable and acknowledged: events lost", 0, sum(kept)),
    ]
