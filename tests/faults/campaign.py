"""One run of the fault injector, from an empty broker to the report."""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import msgspec

from tasker_kafka.topics.declarations import TopicPlan, declarations, declared_for
from tasker_kafka.topics.kafka import KafkaLog
from tasker_kafka.topics.names import TopicNames
from tasker_kafka.topics.plans import publish
from tasker_kafka.topics.provision import create, publish_schemas
from tests.checker import LedgerWriter, read_ledger
from tests.faults.brokers import HOST, Brokers, open_brokers
from tests.faults.fleet import Fleet, ledger_environment
from tests.faults.injection import CRASH_POINT_FAULT
from tests.faults.judging import judge, settle, verify_rebuild
from tests.faults.load import Load
from tests.faults.measures import Injected, Starts, recoveries, repeats
from tests.faults.observer import Observer
from tests.faults.plans import plans
from tests.faults.projection_faults import caught_up
from tests.faults.report import Report, machine, rows
from tests.faults.rig import SESSION_MS, Outcome, Rig, now_ms
from tests.faults.role_logs import count_ends, unplanned_ends, unplanned_words
from tests.faults.schedule import NETWORK, Schedule, Slot
from tests.faults.wires import Wire

__all__ = ["Campaign", "Options"]

PARTITIONS: Final = 4
ORCHESTRATORS, WORKERS, PROJECTORS = 2, 2, 2
_ROLES: Final = (
    *(f"orchestrator-{number}" for number in range(ORCHESTRATORS + 1)),  # the last one is a guest
    *(f"worker-{number}" for number in range(WORKERS)),
    *(f"projector-{number}" for number in range(PROJECTORS)),
    "client-0",
)
WARM_TASKS: Final = 60
"""Tasks that have come to rest before the first fault: it must meet a system at work."""
_SHOWN: Final = 10
_DISTURBING: Final = frozenset({"kill_orchestrator", "kill_worker", CRASH_POINT_FAULT, "killer_step"})
"""Kinds whose repeated steps count as repeated after a kill."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """What a run is like."""

    seed: int
    seconds: float
    rate: float
    """Tasks per second."""
    kinds: tuple[str, ...]
    is_cluster: bool = False
    only_points: bool = False
    """Every crash point once, however long it takes."""
    points: tuple[str, ...] = ()
    """These crash points only."""
    wants_all_points: bool = False
    """Crash points that were not drawn in time follow afterwards."""
    settle_seconds: float = 90.0
    """Bound for everything to come to rest after the last fault."""
    planted: Mapping[str, str] = field(default_factory=dict)


class Campaign:
    """Run once with `run`."""

    def __init__(self, options: Options, folder: Path) -> None:
        self._options = options
        self._folder = folder
        self._store = folder / "projection.sqlite"
        self._wires = {name: Wire(name) for name in _ROLES} if NETWORK & {*options.kinds} else {}
        self._injected: list[Injected] = []
        self._schedule = Schedule(options.seed, options.kinds, options.points)
        self._wanted_points = sorted(self._schedule.points_left)
        self._dice = random.Random(f"faults {options.seed}")
        self._hit: set[str] = set()
        self._failures: list[str] = []

    async def run(self) -> Report:
        """Everything, in order."""
        options = self._options
        report = Report(
            seed=options.seed,
            seconds=options.seconds,
            settings={
                "orchestrators": ORCHESTRATORS,
                "workers": WORKERS,
                "projectors": PROJECTORS,
                "partitions": PARTITIONS,
                "brokers": 3 if options.is_cluster else 1,
                "tasks/s": options.rate,
                "session_ms": SESSION_MS,
                **options.planted,
            },
            machine=machine(),
        )
        with open_brokers(self._folder, self._wires, cluster=options.is_cluster) as brokers:
            try:
                await brokers.connect()
                await self._on(brokers, report)
            finally:
                for wire in self._wires.values():
                    await wire.close()
        report.failures = self._failures
        return report

    async def _on(self, brokers: Brokers, report: Report) -> None:
        names = TopicNames(f"f{os.getpid()}-{self._options.seed}")
        log = KafkaLog(brokers.bootstrap)
        environment = self._environment(brokers, names)
        fleet = Fleet(self._folder, {**environment, **self._options.planted})
        if self._wires:
            fleet.address_of = lambda name: f"{HOST}:{self._wires[name].port}"
        following: list[asyncio.Task[None]] = []
        try:
            await log.start()
            await self._set_up(log, names)
            rig = self._rig(fleet, brokers, log, names)
            await rig.load.open()
            following.append(asyncio.create_task(rig.observer.run()))
            await self._start(rig)
            begun = time.monotonic()
            loading = asyncio.create_task(rig.load.run())
            following.append(loading)
            if not await rig.observer.until(lambda: len(rig.observer.resting) >= WARM_TASKS, 60.0):
                raise RuntimeError(f"no load gets through; the logs of the roles are in {self._folder}")
            await self._inject(rig)
            report.load = _load_figures(rig, time.monotonic() - begun)
            report.settle, unsettled = await settle(rig, self._options.settle_seconds)
            self._failures += unsettled
            if await caught_up(rig) is None:
                self._failures.append("I8: the projection has not caught up with the log")
            self._failures += await fleet.stop_all()
            await self._judge(rig, report, environment, is_settled=not unsettled)
        finally:
            await fleet.kill_all()
            for task in following:
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task
            await log.close()

    # -------------------------------------------------------------------------------------------- start

    def _environment(self, brokers: Brokers, names: TopicNames) -> dict[str, str]:
        return {
            "TASKER_BROKER": brokers.bootstrap,
            "TASKER_PREFIX": names.prefix,
            "TASKER_TOPICS__PARTITIONS": str(PARTITIONS),
            "TASKER_ENGINE__SESSION_TIMEOUT_MS": str(SESSION_MS),
            "TASKER_PROJECTION__URL": str(self._store),
            "TASKER_WORKER__SESSION_TIMEOUT_MS": str(SESSION_MS),
            "TASKER_WORKER__HEARTBEAT_MS": "500",
            "TASKER_WORKER__START_REPORT_SECONDS": "1",
            "TASKER_WORKER__SHUTDOWN_SECONDS": "4",
            **ledger_environment(self._folder / "ledger"),
        }

    async def _set_up(self, log: KafkaLog, names: TopicNames) -> None:
        published = plans()
        queues, namespaces = declared_for(published)
        plan = TopicPlan(partitions=PARTITIONS)
        await create(log.admin(), declarations(names, plan, queues=queues, namespaces=namespaces))
        await publish_schemas(log, names)
        await publish(log, names, published)

    def _rig(self, fleet: Fleet, brokers: Brokers, log: KafkaLog, names: TopicNames) -> Rig:
        ledger = self._folder / "ledger"
        observer = Observer(log, names, PARTITIONS)
        load = Load(log, names, ledger, observer, seed=self._options.seed, rate=self._options.rate)
        return Rig(
            fleet=fleet,
            brokers=brokers,
            log=log,
            names=names,
            load=load,
            observer=observer,
            ledger=LedgerWriter(ledger, "faults"),
            ledger_folder=ledger,
            store=self._store,
            wires=self._wires,
            orchestrators=ORCHESTRATORS,
            workers=WORKERS,
        )

    async def _start(self, rig: Rig) -> None:
        for number in range(ORCHESTRATORS):
            await rig.fleet.start("orchestrator", number)
        for number in range(WORKERS):
            await rig.fleet.start("worker", number)
        for number in range(PROJECTORS):
            await rig.fleet.start("projector", number)
        await rig.fleet.start("client", 0)
        if not await rig.calm(60.0) or await caught_up(rig, seconds=60.0) is None:
            raise RuntimeError(f"the system did not start; its logs are in {self._folder}")

    # ------------------------------------------------------------------------------------------- faults

    async def _inject(self, rig: Rig) -> None:
        """Faults until the time is up, then the crash points that are left."""
        until = time.monotonic() + self._options.seconds
        schedule = self._schedule
        while self._options.only_points or time.monotonic() < until:
            if self._options.only_points and not schedule.points_left:
                break
            await self._one(rig, schedule.next())
        while self._options.wants_all_points and schedule.points_left:
            await self._one(rig, schedule.point(0.2))

    async def _one(self, rig: Rig, slot: Slot) -> None:
        await asyncio.sleep(slot.pause)
        await rig.calm()
        begun = time.monotonic()
        try:
            outcome = await slot.inject(rig, self._dice)
        except Exception as error:  # a fault that cannot be injected is a finding, not the end of the run
            outcome = Outcome(False, {"error": repr(error)}, now_ms())
            await rig.restore()
        name = slot.kind if slot.point is None else f"{slot.kind} {slot.point}"
        took = round(time.monotonic() - begun, 1)
        rig.ledger.fault(slot.kind, {"bit": outcome.bit, **outcome.proof})
        print(f"{len(self._injected) + 1:4} {name}: bit {outcome.bit}, {took} s", flush=True)
        self._injected.append(Injected(slot.kind, outcome, slot.point))
        if slot.point is not None and outcome.bit:
            self._hit.add(slot.point)
        if not outcome.bit:
            self._failures.append(f"{name} did not bite: {outcome.proof}")
        if outcome.stalled:
            self._failures.append(f"stalled partitions {outcome.stalled} after {name}: {outcome.proof}")

    # -------------------------------------------------------------------------------------------- judge

    async def _judge(
        self, rig: Rig, report: Report, environment: Mapping[str, str], *, is_settled: bool
    ) -> None:
        checked = await judge(rig, settled=is_settled, save=self._folder / "raw.gz")
        report.checker = checked.figures
        report.violations = dict(Counter(each.invariant for each in checked.violations))
        self._failures += [str(each) for each in checked.violations[:_SHOWN]]
        self._failures += await verify_rebuild(environment)
        ledger = read_ledger(rig.ledger_folder)
        self._failures += unplanned_ends(rig.fleet.ends, ledger)
        self._failures += unplanned_words(self._folder)
        report.ends = dict(count_ends(rig.fleet.ends))
        starts = Starts(ledger.started, PARTITIONS)
        report.faults = rows(self._injected, recoveries(self._injected, rig.observer, starts))
        report.log = [
            {"kind": each.kind, "at": each.outcome.at, "bit": each.outcome.bit, **_plain(each.outcome.proof)}
            for each in self._injected
        ]
        report.points_hit = sorted(self._hit)
        if self._options.wants_all_points or self._options.only_points:
            report.points_missed = sorted(set(self._wanted_points) - self._hit)
            self._failures += [f"crash point {point} was not hit" for point in report.points_missed]
        counted = repeats(ledger, self._injected)
        after_kills = sum(count for kind, count in counted.by_fault.items() if kind in _DISTURBING)
        report.repeats = {
            "handler starts": counted.starts,
            "attempts started": counted.attempts,
            "attempts granted": rig.observer.granted,
            "repeated": counted.total,
            "share": f"{counted.total / max(1, counted.attempts):.2%}",
            "after kills": after_kills,
            "share after kills": f"{after_kills / max(1, counted.attempts):.2%}",
            "by last fault": dict(counted.by_fault.most_common()),
        }
        report.refused_records = {
            "repeats": sum(view.refused - view.stale for view in rig.observer.views.values()),
            "of deposed owners": sum(view.stale for view in rig.observer.views.values()),
        }


def _load_figures(rig: Rig, seconds: float) -> dict[str, Any]:
    load = rig.load
    steps = rig.observer.granted
    return {
        "tasks": len(load.tasks),
        "requests acknowledged": load.acked,
        "attempts granted": steps,
        "tasks/s": round(len(load.tasks) / seconds, 1),
        "attempts/s": round(steps / seconds, 1),
        "commands": sum(load.commands.values()),
        "seconds": round(seconds, 1),
    }


def _plain(proof: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = msgspec.to_builtins(dict(proof), str_keys=True)
    return found
