"""Measures how late timers fire while tens of thousands wait.

    make bench-timers
    python -m tests.bench.timers --pending 50000 --per-second 500

Half of what waits is a task whose start lies an hour ahead, half a step that waits an hour for its retry. Beside them,
as many timers as asked for become due each second: half are starts at an exact millisecond, half are retries of the
steps that these starts run, which fail once. Only timers of the time in which both kinds are due are counted.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any

from tasker_kafka.schemas.codec import codec
from tasker_kafka.schemas.plan import Plan
from tasker_kafka.schemas.records import AttemptEnded, Command, TimerDue, Transitions
from tasker_kafka.schemas.template import Retry, Template
from tasker_kafka.topics.log import TopicPartition
from tests.bench.goals import Goal, at_most, goal_table
from tests.bench.lateness import Due, Effect, Lateness, lateness_of
from tests.bench.machine import since
from tests.bench.options import add_output, at_least_one
from tests.bench.reading import Raw, read_range
from tests.bench.requests import RequestMaker
from tests.bench.stage import ORCHESTRATOR, BrokerAt, Stage, staged
from tests.bench.tables import aligned
from tests.bench.tool import Result, heading, report, run_sections, say
from tests.support.system import PARTITIONS

__all__ = ["FULL", "Wanted", "main", "section"]

_HOUR_MS = 3_600_000
_AFTER_SECONDS = 2.0
_LOOK_SECONDS = 0.2


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """How many timers."""

    pending: int = 50_000
    per_second: int = 500
    backoff_seconds: int = 10
    """Of the retries that are counted; so long only starts are due, and nothing is counted."""
    seconds: int = 30
    """In which both kinds are due."""
    lead_seconds: int = 10
    """Before the first is due: in which the requests must have been taken in."""
    idle_seconds: int = 5
    """Of looking at the orchestrator while nothing is due."""


FULL = Wanted()


def failing_once(name: str, backoff_ms: int) -> Plan:
    """One step that fails the first time, with an exact delay."""
    retry = Retry(backoff="linear", backoff_base_ms=backoff_ms, max_backoff_ms=backoff_ms, jitter=0.0)
    return Template(name).step("only", handler="test.flaky", retry=retry).compile()


async def section(wanted: Wanted, broker: BrokerAt) -> Result:
    """Fill, look at the idle system, let timers become due, read the log."""
    head = heading(
        f"one broker, one orchestrator and one worker process; {PARTITIONS} partitions; default tick (50 ms) and "
        "checkpoint intervals"
    )
    waiting = failing_once("waits_an_hour", _HOUR_MS)
    counted = failing_once("waits_for_retry", 1000 * wanted.backoff_seconds)
    async with staged(broker, [counted, waiting]) as stage:
        await _fill(stage, waiting, wanted)
        say(f"{wanted.pending:,} timers wait")
        idle = await _orchestrator_cpu(stage, wanted.idle_seconds)
        busy, found = await _measured(stage, counted, wanted)
    say(f"p99 late: {found.recorded_ms.p99 if found.recorded_ms else 0:.0f} ms")
    figures = {**asdict(found), "idle_cpu_share": idle, "cpu_share": busy}
    return Result(
        {"timers": report(head, _text(wanted, figures), goal_table(_goals(found)))},
        {"timers": {**head, **figures}},
    )


async def _fill(stage: Stage, waiting: Plan, wanted: Wanted) -> None:
    """What waits during the whole measurement: until each has the records that say so."""
    system = stage.system
    maker, half = RequestMaker(waiting, system.names.task_requests), wanted.pending // 2
    begin = await _transitions_end(stage)
    far = int(time.time() * 1000) + _HOUR_MS
    system.queue(maker.make_for([far + number for number in range(half)]))
    system.queue(maker.make(wanted.pending - half))
    await _wait_for(stage, begin, half + 2 * (wanted.pending - half))


async def _measured(stage: Stage, plan: Plan, wanted: Wanted) -> tuple[float, Lateness]:
    """The orchestrator's share of a processor, and how late the timers were."""
    system = stage.system
    begin = int(time.time() * 1000 + 1000 * wanted.lead_seconds)
    step_ms = 2000 / wanted.per_second
    span_ms = 1000 * (wanted.backoff_seconds + wanted.seconds)
    times = [begin + round(number * step_ms) for number in range(round(span_ms / step_ms))]
    before = await _ends(stage)
    begun = await _transitions_end(stage)
    system.queue(RequestMaker(plan, system.names.task_requests).make_for(times))
    await _wait_for(stage, begun, len(times))
    if time.time() * 1000 >= begin:
        raise AssertionError(
            f"{len(times):,} requests took longer than {wanted.lead_seconds} s: ask for more --lead-seconds"
        )
    counted_from = begin + 1000 * wanted.backoff_seconds
    await asyncio.sleep(counted_from / 1000 - time.time())
    busy = await _orchestrator_cpu(stage, wanted.seconds)
    await asyncio.sleep(_AFTER_SECONDS)
    seen = await _read(stage, before, await _ends(stage))
    expected = [*times, *seen.retries]
    return busy, lateness_of(
        seen.dues, seen.effects, expected=expected, begin=counted_from, end=begin + span_ms
    )


@dataclass(frozen=True)
class _Seen:
    """What is in the log; the mappings by (partition, offset) of the command."""

    dues: dict[tuple[int, int], Due] = field(default_factory=dict[tuple[int, int], Due])
    effects: dict[tuple[int, int], Effect] = field(default_factory=dict[tuple[int, int], Effect])
    retries: list[int] = field(default_factory=list[int])
    """When each retry that was decided upon is due, ms."""


async def _read(
    stage: Stage, begin: Mapping[TopicPartition, int], end: Mapping[TopicPartition, int]
) -> _Seen:
    """Every TimerDue, what every command led to, and every retry that is to come."""
    seen = _Seen()
    async for batch in read_range(stage.system.bootstrap, begin, end):
        for record in batch:
            if record.topic == stage.system.names.commands:
                _take_command(record, seen.dues)
            else:
                decoded = codec.decode_transition_record(record.value)
                if isinstance(decoded, Transitions):
                    place = record.partition, decoded.command_offset
                    seen.effects[place] = Effect(decoded.at, record.timestamp)
                    seen.retries.extend(_retries(decoded))
    return seen


def _retries(record: Transitions) -> list[int]:
    ended = (each.data for each in record.transitions if isinstance(each.data, AttemptEnded))
    return [data.next_retry_at for data in ended if data.next_retry_at is not None]


def _take_command(record: Raw, dues: dict[tuple[int, int], Due]) -> None:
    body = codec.decode(record.value, Command).body
    if isinstance(body, TimerDue):
        dues[record.partition, record.offset] = Due(body.kind.value, body.due_at, record.timestamp)


async def _orchestrator_cpu(stage: Stage, seconds: float) -> float:
    """The share of a processor that the orchestrator takes in the next seconds."""
    before, began = stage.cpu(), time.perf_counter()
    await asyncio.sleep(seconds)
    return since(before, stage.cpu())[ORCHESTRATOR] / (time.perf_counter() - began)


async def _ends(stage: Stage) -> dict[TopicPartition, int]:
    names = stage.system.names
    places = [
        TopicPartition(topic, number)
        for topic in (names.commands, names.transitions)
        for number in range(PARTITIONS)
    ]
    return {place: await stage.system.log.end_offset(place) for place in places}


async def _transitions_end(stage: Stage) -> int:
    ends = await _ends(stage)
    return sum(end for place, end in ends.items() if place.topic == stage.system.names.transitions)


async def _wait_for(stage: Stage, begin: int, records: int) -> None:
    """Until so many transitions records have been written since `begin`."""
    while await _transitions_end(stage) - begin < records:  # noqa: ASYNC110 - it is in another process
        await asyncio.sleep(_LOOK_SECONDS)


def _goals(found: Lateness) -> list[Goal]:
    late = [] if found.recorded_ms is None else [at_most("timers: p99 late ms", 250, found.recorded_ms.p99)]
    return [
        *late,
        at_most("timers: decided early", 0, found.early),
        at_most("timers: never fired", 0, found.missing),
    ]


def _text(wanted: Wanted, figures: Mapping[str, Any]) -> str:
    def three(name: str) -> str:
        found = figures[name]
        return "–" if found is None else f"{found['p50']:,.0f} / {found['p99']:,.0f} / {found['most']:,.0f}"

    fired = ", ".join(f"{count:,} {kind}" for kind, count in figures["fired"].items())
    rows = [
        ["timers that wait beside", f"{wanted.pending:,}"],
        ["due per second", f"{figures['per_second']:,.0f}"],
        ["fired", fired],
        ["TimerDue late, p50 / p99 / max ms", three("written_ms")],
        ["transitions late, p50 / p99 / max ms", three("recorded_ms")],
        ["decided early", f"{figures['early']:,}"],
        ["never fired", f"{figures['missing']:,}"],
        ["TimerDue in vain", f"{figures['in_vain']:,}"],
        ["orchestrator's CPU, nothing due", f"{figures['idle_cpu_share']:.1%}"],
        ["orchestrator's CPU, timers due and their steps", f"{figures['cpu_share']:.1%}"],
    ]
    return aligned(["timers", "figure"], rows)


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
