"""Runs a scene with noise and the same without it, and says what came of every record and every promise."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest

from tasker_kafka.deploy.reading import verify_rebuild
from tasker_kafka.topics.memory import run_virtual
from tasker_kafka.topics.plans import PlanStore
from tests.support.lane_world import LaneWorld

from .account import account
from .histories import histories
from .report import Report
from .scene import Scene, Stopped

__all__ = ["fuzz"]

PER_ROUND = 200
Histories = Mapping[bytes, Sequence[bytes]]


def fuzz(seed: int, count: int, *, per_round: int = PER_ROUND, only: str = "") -> Report:
    """Run `count` bad records of a seed through the lanes in memory."""
    began = time.process_time()
    rounds = max(1, -(-count // per_round))
    report = run_virtual(_noisy(seed, rounds, min(count, per_round), only))
    quiet = run_virtual(_quiet(seed, rounds))
    loud = report.histories
    if not report.report.faults:
        report.report.faults += changed(quiet, loud)
    report.report.seconds = time.process_time() - began
    return report.report


def changed(quiet: Histories, loud: Histories) -> list[str]:
    """The good tasks whose history is another one with noise, each with its first other record."""
    faults = []
    for task_id, records in quiet.items():
        if loud[task_id] != records:
            pairs = zip_longest(records, loud[task_id])
            one, other = next((one, other) for one, other in pairs if one != other)
            faults.append(f"task {task_id.hex()}: noise has changed its history from {one!r} to {other!r}")
    return faults


@dataclass
class _Ended:
    report: Report
    histories: dict[bytes, tuple[bytes, ...]]


async def _noisy(seed: int, rounds: int, per_round: int, only: str) -> _Ended:
    scene = await Scene(seed, noise=per_round, only=only).open()
    report = Report(seed, 0)
    try:
        for _ in range(rounds):
            await scene.round()
        await scene.finish()
    except Stopped as stopped:
        report.faults.append(str(stopped))
        await scene.close()
        return _Ended(report, histories(scene.world, scene.good))
    report.noise = len(scene.ledger.noise) + sum(scene.ledger.refused.values())
    report.accounts = account(scene.world, scene.ledger)
    report.faults += report.accounts.faults
    report.faults += await _rebuilt(scene)
    report.good_tasks, report.takeovers = len(scene.good), scene.takeovers
    told = histories(scene.world, scene.good)
    await scene.close()
    return _Ended(report, told)


async def _quiet(seed: int, rounds: int) -> dict[bytes, tuple[bytes, ...]]:
    scene = await Scene(seed, noise=0).open()
    for _ in range(rounds):
        await scene.round()
    await scene.finish()
    told = histories(scene.world, scene.good)
    await scene.close()
    return told


async def _rebuilt(scene: Scene) -> list[str]:
    """Fold, table and the owners' memory must be one."""
    world: LaneWorld = scene.world
    plans = PlanStore(world.log, world.names)
    await plans.start()
    found = await verify_rebuild(world.log, world.names, plans)
    await plans.stop()
    faults = [f"fold and table differ: {found.first}"] if found.first is not None else []
    for owner, partition in zip(scene.owners, found.partitions, strict=True):
        held = sum(1 for _ in owner.lane.table.items())
        if held != partition.tasks:
            faults.append(
                f"partition {partition.partition}: {held} tasks in memory, {partition.tasks} in the log"
            )
        if owner.lane.metrics.quarantined:
            faults.append(
                f"partition {partition.partition}: {owner.lane.metrics.quarantined} faults of the rules"
            )
        if owner.lane.metrics.unrepeated:
            faults.append(
                f"partition {partition.partition}: {owner.lane.metrics.unrepeated} outputs not repeatable"
            )
    return faults
