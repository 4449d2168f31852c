"""Do fire-and-forget events in trouble slow tasks? The same tasks, with events and without, in alternation.

One step of five publishes. What differs is what becomes of the event: nobody declares it, a group takes it, the group's
only process was killed, the group's handler takes a second for each, or the worker's buffer holds a single event, so
that most find it full.
"""

from __future__ import annotations

import os
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Final

from tasker_kafka.schemas.plan import Plan
from tasker_kafka.schemas.template import Event, Template
from tests.bench.event_scene import wait_committed
from tests.bench.figures import figures_of
from tests.bench.goals import Goal, at_most, goal_table
from tests.bench.loads import Run, drained, measure
from tests.bench.stage import ORCHESTRATOR, WORKER, BrokerAt, Stage, staged
from tests.bench.subscribers import DEAD, HEARD, SLOW
from tests.bench.tables import aligned
from tests.bench.tool import Result, heading, report, say
from tests.support.system import PARTITIONS

__all__ = ["FULL", "KINDS", "NONE", "Look", "Wanted", "compared", "plan_of", "section"]

NONE, FULL = "none", "full"
KINDS: Final = (NONE, HEARD, DEAD, SLOW, FULL)
_TROUBLE: Final = (DEAD, SLOW, FULL)
_MEANING: Final = {
    NONE: "no events",
    HEARD: "a group takes them",
    DEAD: "its process was killed",
    SLOW: "its handler takes 1 s",
    FULL: "a buffer of 1 event",
}
_STEPS = 5
_BUFFER = "TASKER_EVENTS__FIRE_AND_FORGET__BUFFER_SIZE"


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """How many tasks."""

    tasks: int = 2_000
    """Of each kind in each round."""
    rounds: int = 3
    warm_up: int = 500


@dataclass(frozen=True, kw_only=True)
class Look:
    """One kind in one round."""

    tasks_per_second: float
    cpu_ms: float
    """Of orchestrator and workers per step."""
    worker_cpu_ms: float
    """The workers' part of it."""
    events: int
    """That reached the topic."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """One kind over all rounds: medians."""

    kind: str
    tasks_per_second: float
    slower_than_none: float
    """By which share of the rate, of the same round."""
    slower_than_heard: float
    cpu_ms: float
    worker_cpu_ms: float
    more_cpu_than_none: float
    more_cpu_than_heard: float
    events: int
    dropped: int
    """Of all rounds together."""


def plan_of(kind: str) -> Plan:
    """A chain of five; the last step publishes, unless there is to be no event. Its queue is called as its kind."""
    template = Template(f"harm_{kind}", namespace=kind)
    for number in range(_STEPS):
        publishes = [Event("order.paid", delivery="fire_and_forget", condition="success")]
        template = template.step(
            f"step_{number}",
            handler="test.noop",
            depends_on=[f"step_{number - 1}"] if number else [],
            publishes_events=publishes if kind != NONE and number == _STEPS - 1 else (),
        )
    return template.compile()


def compared(rounds: Sequence[Mapping[str, Look]], tasks: int) -> list[Row]:
    """Kind by kind; shares are medians of what each round says by itself. `tasks`: of a kind in a round."""
    return [_row(kind, rounds, tasks) for kind in KINDS]


def _row(kind: str, rounds: Sequence[Mapping[str, Look]], tasks: int) -> Row:
    def slower(than: str) -> float:
        return statistics.median(
            1 - each[kind].tasks_per_second / each[than].tasks_per_second for each in rounds
        )

    def more_cpu(than: str) -> float:
        return statistics.median(each[kind].cpu_ms / each[than].cpu_ms - 1 for each in rounds)

    looks = [each[kind] for each in rounds]
    events = sum(each.events for each in looks)
    return Row(
        kind=kind,
        tasks_per_second=statistics.median(each.tasks_per_second for each in looks),
        slower_than_none=slower(NONE),
        slower_than_heard=slower(HEARD),
        cpu_ms=statistics.median(each.cpu_ms for each in looks),
        worker_cpu_ms=statistics.median(each.worker_cpu_ms for each in looks),
        more_cpu_than_none=more_cpu(NONE),
        more_cpu_than_heard=more_cpu(HEARD),
        events=events,
        dropped=0 if kind == NONE else tasks * len(rounds) - events,
    )


async def section(wanted: Wanted, broker: BrokerAt) -> Result:
    """Round by round, each kind once, every second round backwards."""
    head = heading(
        f"one broker, one orchestrator, a worker and one with a small buffer, a group each; {PARTITIONS} partitions; "
        f"{wanted.tasks:,} tasks at once, {wanted.rounds} rounds; one step of five publishes"
    )
    plans = {kind: plan_of(kind) for kind in KINDS}
    async with staged(broker, [*plans.values()], workers=0, prepare=_start_others) as stage:
        for plan in plans.values():
            await stage.run(plan, wanted.warm_up)
        for group in (HEARD, DEAD, SLOW):
            await _settled(stage, group)
        stage.resting.add(_role(DEAD))
        stage.system.kill(_role(DEAD))
        rounds = [await _round(stage, plans, wanted, number) for number in range(wanted.rounds)]
    rows = compared(rounds, wanted.tasks)
    worst = max(row.slower_than_none for row in rows if row.kind in _TROUBLE)
    say(f"tasks with events in trouble: at most {worst:.1%} slower than without events")
    return Result(
        {"event-harm": report(head, _table(rows), goal_table(_goals(rows)))},
        {
            "event-harm": {
                **head,
                "rows": [asdict(row) for row in rows],
                "rounds": [{kind: asdict(look) for kind, look in each.items()} for each in rounds],
            }
        },
    )


def _role(group: str) -> str:
    return f"subscriber-{group}"


async def _start_others(stage: Stage) -> None:
    """Workers that share no queue, and the groups."""
    system = stage.system
    worker = ["worker", "-m", "tests.support.step_handlers"]
    system.start_role(
        f"{WORKER}-0", [*worker, *(part for kind in KINDS if kind != FULL for part in ("-q", kind))]
    )
    os.environ[_BUFFER] = "1"
    try:
        system.start_role(f"{WORKER}-1", [*worker, "-q", FULL])
    finally:
        del os.environ[_BUFFER]
    for group in (HEARD, DEAD, SLOW):
        system.start_role(_role(group), ["subscriber", "-m", "tests.bench.subscribers", "--group", group])


async def _settled(stage: Stage, group: str) -> None:
    """Until the group has taken all there is, so that nothing of one kind is left for the next."""
    await wait_committed(stage.system, group, _role(group), [stage.system.names.domain_events(group)])


async def _round(stage: Stage, plans: Mapping[str, Plan], wanted: Wanted, number: int) -> dict[str, Look]:
    kinds = KINDS if number % 2 == 0 else KINDS[::-1]
    return {kind: await _look(stage, kind, plans[kind], wanted.tasks) for kind in kinds}


async def _look(stage: Stage, kind: str, plan: Plan, tasks: int) -> Look:
    before = await _written(stage, kind)
    found = figures_of(
        await measure(stage, Run(load="drained", shape=kind, plan=plan, tasks=tasks, run=drained))
    )
    if kind in {HEARD, SLOW}:
        await _settled(stage, kind)
    say(f"{_MEANING[kind]}: {found.tasks_per_second:,.0f} tasks/s")
    return Look(
        tasks_per_second=found.tasks_per_second,
        cpu_ms=found.cpu_ms_per_step[ORCHESTRATOR] + found.cpu_ms_per_step[WORKER],
        worker_cpu_ms=found.cpu_ms_per_step[WORKER],
        events=await _written(stage, kind) - before,
    )


async def _written(stage: Stage, kind: str) -> int:
    """Events of this kind in the log."""
    if kind == NONE:
        return 0
    return sum((await stage.system.ends([stage.system.names.domain_events(kind)])).values())


def _table(rows: Sequence[Row]) -> str:
    def cells(row: Row) -> list[str]:
        return [
            _MEANING[row.kind],
            f"{row.tasks_per_second:,.0f}",
            f"{row.slower_than_none:+.1%}",
            f"{row.slower_than_heard:+.1%}",
            f"{row.cpu_ms:.3f}",
            f"{row.worker_cpu_ms:.3f}",
            f"{row.more_cpu_than_none:+.1%}",
            f"{row.more_cpu_than_heard:+.1%}",
            f"{row.events:,}",
            f"{row.dropped:,}",
        ]

    columns = [
        "fire and forget",
        "tasks/s",
        "slower than without",
        "than when taken",
        "CPU ms/step",
        "worker's",
    ]
    columns += ["more than without", "than when taken", "sent", "dropped"]
    return aligned(columns, [cells(row) for row in rows])


def _goals(rows: Sequence[Row]) -> list[Goal]:
    trouble = [row for row in rows if row.kind in _TROUBLE]
    return [
        *(
            at_most(f"{_MEANING[row.kind]}: tasks slower than when taken", 0.05, row.slower_than_heard, ".1%")
            for row in trouble
        ),
        *(
            at_most(
                f"{_MEANING[row.kind]}: tasks slower than without events", 0.05, row.slower_than_none, ".1%"
            )
            for row in trouble
        ),
    ]
