"""Projectors and rebuilds as processes that die at a named crash point, one after the other, as by kill -9.

python -m tests.support.projection_process BOOTSTRAP PREFIX PLACE ROLE:POINT:NTH...

ROLE: project, rebuild or in_place. Each order is a process of its own, forked from one that has imported everything:
starting an interpreter costs more than what is tested. It ends with 1 when one of them did not die by that signal.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Sequence
from enum import StrEnum
from typing import Any

from tasker_kafka.streams.projection import Projector, ProjectorSettings, Store, rebuild
from tasker_kafka.streams.projection.crash_points import ProjectionCrashPoint
from tasker_kafka.topics.kafka import KafkaLog
from tasker_kafka.topics.names import TopicNames

SESSION_MS = 1_000
"""The group lets the dead go after this time, for which the next one waits."""
BATCH_RECORDS = 25


class DieAt:
    """Kills its own process at the n-th passing of a point."""

    def __init__(self, point: ProjectionCrashPoint, nth: int) -> None:
        self._point = point
        self._left = nth

    def reached(self, point: StrEnum, /) -> None:
        """Die here, if it is the one."""
        self._left -= point == self._point
        if self._left == 0:
            os.kill(os.getpid(), signal.SIGKILL)


class ShortSessions(KafkaLog):
    """Its members are missed soon."""

    def group(self, *arguments: Any, **options: Any) -> Any:
        """As the log's own."""
        return super().group(*arguments, **options, session_timeout_ms=SESSION_MS)


async def run(bootstrap: str, prefix: str, place: str, order: str) -> None:
    """Do it until it dies."""
    role, point, nth = order.split(":")
    settings = ProjectorSettings(
        batch_records=BATCH_RECORDS,
        commit_seconds=0.0,
        retention_ms=0,
        crash_points=DieAt(ProjectionCrashPoint(point), int(nth)),
    )
    log, names = ShortSessions(bootstrap), TopicNames(prefix)
    await log.start()
    if role == "project":
        store = Store.open(place, prefix=prefix, create=True)
        await Projector(log, names, store, settings=settings).run()
    else:
        await rebuild(log, names, place, settings=settings, in_place=role == "in_place")


def main(bootstrap: str, prefix: str, place: str, orders: Sequence[str]) -> int:
    """Every order in turn: 0 when all died as they were told."""
    for order in orders:
        pid = os.fork()
        if not pid:
            asyncio.run(run(bootstrap, prefix, place, order))
            os._exit(0)
        _, ended = os.waitpid(pid, 0)
        if not (os.WIFSIGNALED(ended) and os.WTERMSIG(ended) == signal.SIGKILL):
            sys.stderr.write(f"{order} was passed: {os.waitstatus_to_exitcode(ended)}\n")
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2], sys.argv[3], sys.argv[4:]))
