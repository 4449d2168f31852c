"""After the faults: wait until all is settled, stop the roles, and let independent judges read the log."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tasker_kafka.topics.log import TopicPartition
from tasker_kafka.topics.partitioner import partition_for
from tests.checker import Report as CheckReport
from tests.checker import check, read_ledger, read_raw
from tests.faults.fleet import python_path
from tests.faults.rig import Rig

__all__ = ["judge", "settle", "verify_rebuild"]

_SHOWN = 5


async def settle(rig: Rig, bound: float) -> tuple[dict[str, Any], list[str]]:
    """Wait until every acknowledged request rests, at most `bound` seconds: figures, and what does not rest."""
    begun = time.monotonic()
    failures = []
    if not await rig.load.stop(bound):
        failures.append(f"{len(rig.load._sending)} requests were not acknowledged within {bound:.0f} s")
    left = bound - (time.monotonic() - begun)
    await rig.observer.until(lambda: not unsettled(rig), max(left, 1.0))
    took = round(time.monotonic() - begun, 2)
    waiting = unsettled(rig)
    if waiting:
        partitions = len(rig.observer.views)
        places = Counter(partition_for(task, partitions) for task in waiting)
        examples = ", ".join(task.hex() for task in sorted(waiting)[:_SHOWN])
        failures.append(
            f"I2: {len(waiting)} tasks have not settled within {bound:.0f} s, "
            f"by partition {dict(places)}: {examples}"
        )
        failures += await stalled_partitions(rig)
    states = Counter(str(state) for state in rig.observer.resting.values())
    figures = {"seconds": took, "bound": bound, "unsettled": len(waiting), **dict(sorted(states.items()))}
    return figures, failures


def unsettled(rig: Rig) -> set[bytes]:
    """Tasks that were asked for and neither rest nor were rejected, and tasks that are not at rest any more."""
    observer, tasks = rig.observer, rig.load.tasks
    asked = {
        task
        for task, request in tasks.items()
        if task not in observer.resting and request not in observer.rejected
    }
    return asked | observer.moving


async def stalled_partitions(rig: Rig) -> list[str]:
    """Partitions with commands that nobody decides: with what their owner has said last."""
    found = []
    for number, view in rig.observer.views.items():
        end = await rig.log.end_offset(TopicPartition(rig.names.commands, number))
        behind = end - 1 - view.history.command_offset
        owner = rig.observer.owner(number)
        name = "" if owner is None else f"orchestrator-{owner.instance.rpartition('-')[2]}"
        tail = "\n    ".join(rig.fleet.log_of(name).splitlines()[-15:])
        if behind > 0:
            found.append(
                f"stalled partition {number}? its commands end at {end}, the last decided is "
                f"{view.history.command_offset}; its owner {name} said:\n    {tail}"
            )
    return found


async def judge(rig: Rig, *, settled: bool, save: Path) -> CheckReport:
    """The independent checker's word; the raw log is kept when there are violations."""
    raw = await read_raw(rig.brokers.bootstrap, rig.names.prefix)
    report = await asyncio.to_thread(check, raw, read_ledger(rig.ledger_folder), settled=settled)
    if report.violations:
        await asyncio.to_thread(raw.save, save)
    return report


async def verify_rebuild(environment: Mapping[str, str]) -> list[str]:
    """`tasker verify-rebuild` must find the table and the projection equal to the fold of the log."""
    command = [sys.executable, "-m", "tasker_kafka.deploy.cli", "verify-rebuild", "--projection"]
    done = await asyncio.to_thread(
        subprocess.run,
        command,
        env={**os.environ, "PYTHONPATH": python_path(), **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode == 0:
        return []
    text = "\n".join((done.stdout + done.stderr).splitlines()[-20:])
    return [f"verify-rebuild ended with {done.returncode}:\n{text}"]
