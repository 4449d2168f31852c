"""Measures delivery of domain events: how many, at what price, how soon; each promise with one group and with three.

    make bench-events
    python -m tests.bench.events --events 20000 --per-second 500

Each group is a process of its own (`tasker subscriber`), whose handler does nothing but look at the clock. First many
events are published at once, then some per second for a while.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Final

from tasker_kafka.schemas.codec import codec
from tasker_kafka.schemas.deliveries import DomainEvent as Envelope
from tasker_kafka.schemas.words import Delivery
from tasker_kafka.topics.declarations import TopicPlan, declarations
from tasker_kafka.topics.headers import for_event
from tasker_kafka.topics.log import Outbox, Write
from tasker_kafka.topics.provision import create, publish_schemas
from tests.bench.figures import percentile
from tests.bench.goals import Goal, at_most, goal_table
from tests.bench.machine import cpu_seconds
from tests.bench.options import add_output, at_least_one
from tests.bench.stage import BenchSystem, BrokerAt, RoleEnded
from tests.bench.subscribers import GROUPS, NOTES
from tests.bench.tables import aligned
from tests.bench.tool import Result, heading, report, run_sections, say
from tests.support.system import PARTITIONS

__all__ = ["FULL", "Wanted", "main", "section"]

NAMESPACE: Final = "bench"
_KEYS: Final = 1_000
_LOOK_SECONDS: Final = 0.1
_STOP_SECONDS: Final = 30.0


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """How many events."""

    events: int = 20_000
    """Published at once."""
    per_second: int = 500
    seconds: int = 10
    """Of publishing so many per second."""
    warm_up: int = 5_000


FULL = Wanted()


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
    p50_ms: float
    p99_ms: float
    """From fired to handled, at so many per second."""
    lost: int


class _Scene:
    """A topic of events, and groups that take them."""

    def __init__(self, system: BenchSystem, folder: Path, delivery: Delivery, groups: Sequence[str]) -> None:
        self.system, self.folder, self.delivery, self.groups = system, folder, delivery, groups
        self.topic = system.names.domain_events(NAMESPACE)
        self.published = 0

    async def open(self) -> Outbox:
        system = self.system
        await system.log.start()
        plan = TopicPlan(partitions=PARTITIONS)
        await create(system.log.admin(), declarations(system.names, plan, namespaces=[NAMESPACE]))
        await publish_schemas(system.log, system.names)
        outbox = await system.log.outbox(client_id="bench-events")
        await outbox.warm([self.topic])
        for group in self.groups:
            system.start_role(group, ["subscriber", "-m", "tests.bench.subscribers", "--group", group])
        return outbox

    def make(self, count: int) -> Iterable[Write]:
        """The next events, each fired now."""
        for _ in range(count):
            self.published += 1
            key = f"c{self.published % _KEYS}"
            event = Envelope(
                event_id=self.published.to_bytes(16, "big"),
                name="order.paid",
                version="1.0",
                namespace=NAMESPACE,
                delivery=self.delivery,
                key=key,
                payload=b'{"number":%d,"amount":12.5,"currency":"EUR"}' % self.published,
                fired_at=int(time.time() * 1000),
                fired_by="bench",
                environment="",
            )
            yield Write(self.topic, key.encode(), codec.encode(event), for_event(event))

    async def wait_done(self) -> None:
        """Until every group has committed the end of every partition. RoleEnded when one of them has ended."""
        admin = self.system.log.admin()
        for group in self.groups:
            name = self.system.names.subscriber_group(group)
            while True:
                process = self.system.roles[group]
                if process.poll() is not None:
                    raise RoleEnded(
                        f"{group} ended with {process.returncode}:\n{self.system.errors_of(group)}"
                    )
                found = await admin.group_offsets(name)
                done = sum(each.offset for place, each in found.items() if place.topic == self.topic)
                if done >= self.published:
                    break
                await asyncio.sleep(_LOOK_SECONDS)

    def cpu(self) -> float:
        """CPU seconds of the groups so far."""
        return sum(cpu_seconds(self.system.roles[group].pid) for group in self.groups)

    async def stop(self) -> list[list[tuple[int, float, float]]]:
        """End the groups: what each has noted."""
        for group in self.groups:
            self.system.roles[group].terminate()
        for group in self.groups:
            await asyncio.to_thread(self.system.roles[group].wait, _STOP_SECONDS)
        return [json.loads(path.read_text()) for path in sorted(self.folder.glob("*.json"))]


async def measured(
    wanted: Wanted, broker: BrokerAt, delivery: Delivery, groups: Sequence[str], folder: Path
) -> Row:
    """One scene."""
    os.environ[NOTES] = str(folder)
    system = BenchSystem(broker.bootstrap, f"bench{time.time_ns() % 10**9}", folder)
    scene = _Scene(system, folder, delivery, groups)
    try:
        outbox = await scene.open()
        await _at_once(scene, outbox, wanted.warm_up)
        before, broker_before = scene.cpu(), _broker_cpu(broker)
        await _at_once(scene, outbox, wanted.events)
        cpu, broker_cpu = scene.cpu() - before, _broker_cpu(broker) - broker_before
        await _steadily(scene, outbox, wanted)
        notes = await scene.stop()
    finally:
        await system.tear_down()
        del os.environ[NOTES]
    first, last = wanted.warm_up, wanted.warm_up + wanted.events
    drained = [each for group in notes for each in group if first < each[0] <= last]
    steady = [done - fired for group in notes for number, fired, done in group if number > last]
    took = max(each[2] for each in drained) - min(each[1] for each in drained)
    deliveries = wanted.events * len(groups)
    return Row(
        delivery=delivery.value,
        groups=len(groups),
        events_per_second=1000 * wanted.events / took,
        cpu_ms=1000 * cpu / deliveries,
        broker_cpu_ms=None if broker.pid is None else 1000 * broker_cpu / deliveries,
        p50_ms=percentile(steady, 0.5),
        p99_ms=percentile(steady, 0.99),
        lost=scene.published * len(groups)
        - len({(at, each[0]) for at, group in enumerate(notes) for each in group}),
    )


def _broker_cpu(broker: BrokerAt) -> float:
    return 0.0 if broker.pid is None else cpu_seconds(broker.pid)


async def _at_once(scene: _Scene, outbox: Outbox, count: int) -> None:
    for write in list(scene.make(count)):
        outbox.send(write)
    await outbox.flush()
    await scene.wait_done()


async def _steadily(scene: _Scene, outbox: Outbox, wanted: Wanted) -> None:
    loop = asyncio.get_running_loop()
    begin = loop.time()
    for number in range(wanted.per_second * wanted.seconds):
        await asyncio.sleep(begin + number / wanted.per_second - loop.time())
        outbox.send(next(iter(scene.make(1))))
    await outbox.flush()
    await scene.wait_done()


async def section(wanted: Wanted, broker: BrokerAt) -> Result:
    """Every promise, with one group and with all."""
    head = heading(
        f"one broker; each group in a process of its own; {PARTITIONS} partitions; {_KEYS:,} keys; acks=all"
    )
    rows: list[Row] = []
    for delivery in Delivery:
        for groups in (GROUPS[:1], GROUPS):
            with tempfile.TemporaryDirectory(prefix="tasker-bench-") as folder:
                rows.append(await measured(wanted, broker, delivery, groups, Path(folder)))
            row = rows[-1]
            say(
                f"{row.delivery}, {row.groups}: {row.events_per_second:,.0f} events/s, {row.cpu_ms:.3f} ms CPU, "
                f"p50 {row.p50_ms:.0f} ms, p99 {row.p99_ms:.0f} ms"
            )
    return Result(
        {"events": report(head, _table(wanted, rows), goal_table(_goals(rows)))},
        {"events": {**head, "rows": [asdict(row) for row in rows]}},
    )


def _table(wanted: Wanted, rows: Sequence[Row]) -> str:
    def cells(row: Row) -> list[str]:
        broker = "–" if row.broker_cpu_ms is None else f"{row.broker_cpu_ms:.3f}"
        return [
            row.delivery,
            str(row.groups),
            f"{row.events_per_second:,.0f}",
            f"{row.cpu_ms:.3f}",
            broker,
            f"{row.p50_ms:.0f} / {row.p99_ms:.0f}",
            f"{row.lost:,}",
        ]

    return aligned(
        [
            "promise",
            "groups",
            "events/s",
            "CPU ms/delivery",
            "broker's",
            f"p50 / p99 ms at {wanted.per_second}/s",
            "lost",
        ],
        [cells(row) for row in rows],
    )


def _goals(rows: Sequence[Row]) -> list[Goal]:
    durable = next(row for row in rows if row.delivery == Delivery.DURABLE and row.groups == 1)
    return [
        at_most("durable: CPU ms per delivery", 0.060, durable.cpu_ms),
        at_most("durable: p50 ms from fired to handled", 10, durable.p50_ms),
        at_most("durable: p99 ms from fired to handled", 30, durable.p99_ms),
        at_most(
            "durable and acknowledged: events lost",
            0,
            sum(row.lost for row in rows if row.delivery != Delivery.FIRE_AND_FORGET),
        ),
    ]


def main(given: Sequence[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for name, value in asdict(FULL).items():
        flag = "--" + name.replace("_", "-")
        parser.add_argument(flag, type=at_least_one, default=value, metavar="N", help=f"({value})")
    add_output(parser)
    chosen = parser.parse_args(given)
    wanted = Wanted(**{name: getattr(chosen, name) for name in asdict(FULL)})
    return run_sections([partial(section, wanted)], chosen)


if __name__ == "__main__":
    sys.exit(main())
