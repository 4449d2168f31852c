"""What a role under test is told to do wrong: die at a named crash point, or have a planted defect.

Told by variables of the environment, read by `tests.faults.role` only: nothing of this is in what users run.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Any, Final

import msgspec

from tasker_kafka.handlers.worker.crash_points import WorkerCrashPoint
from tasker_kafka.streams.lane import CrashPoint
from tasker_kafka.streams.projection.crash_points import ProjectionCrashPoint
from tasker_kafka.topics.crash_points import ClientCrashPoint
from tasker_kafka.topics.log import Log, Outbox, Track, Write
from tasker_kafka.topics.names import TopicNames
from tests.checker import LedgerWriter

__all__ = [
    "CRASH",
    "CRASH_POINT_FAULT",
    "EARLY",
    "KILLER_FAULT",
    "LEDGER",
    "PLANTED",
    "DieAt",
    "all_points",
    "have_defect",
    "mend_early",
]

LEDGER: Final = "FAULTS_LEDGER"
"""Folder of the ledger."""
CRASH: Final = "FAULTS_CRASH"
"""`point:n`: die at the n-th passing of the point."""
PLANTED: Final = "FAULTS_PLANTED"
"""A defect of `DEFECTS`: proves that the run finds it."""
EARLY: Final = "FAULTS_EARLY"
"""Seconds after which the owner looks at what otherwise takes days: see `mend_early`."""
CRASH_POINT_FAULT: Final = "crash_point"
"""The ledger's name of a death at a crash point; its detail names point, passing and process."""
KILLER_FAULT: Final = "killed_by_handler"
"""The ledger's name of a worker's death by one of its handlers; its detail names the process."""


def all_points() -> list[str]:
    """Every declared crash point of every role. Those of a rebuild, a command that ends, have a test of their own."""
    of_projector = [each for each in ProjectionCrashPoint if "rebuild" not in each]
    return [*CrashPoint, *WorkerCrashPoint, *ClientCrashPoint, *of_projector]


class DieAt:
    """Kills its own process with SIGKILL at the n-th passing of one point, and writes that to the ledger before."""

    def __init__(self, point: str, nth: int, ledger: LedgerWriter) -> None:
        self._point = point
        self._left = self._nth = nth
        self._ledger = ledger

    @classmethod
    def told(cls, ledger: LedgerWriter, environment: Mapping[str, str] = os.environ) -> DieAt:
        """As the environment says; without a word, never."""
        point, _, nth = environment.get(CRASH, "").partition(":")
        return cls(point, int(nth or 1), ledger)

    def reached(self, point: StrEnum, /) -> None:
        """Die here, if it is the one."""
        if point != self._point:
            return
        self._left -= 1
        if self._left == 0:
            detail = {"point": self._point, "nth": self._nth, "pid": os.getpid()}
            self._ledger.fault(CRASH_POINT_FAULT, detail)
            os.kill(os.getpid(), signal.SIGKILL)


# ------------------------------------------------------------------------------------------ planted defects

Drop = Callable[[TopicNames, Write], bool]


def _drops_dispatches(names: TopicNames, write: Write) -> bool:
    return names.queue_of(write.topic) is not None


def _drops_transitions(names: TopicNames, write: Write) -> bool:
    return write.topic == names.transitions


DEFECTS: Final[Mapping[str, Drop]] = {
    "lost_dispatch": _drops_dispatches,
    "lost_transition": _drops_transitions,
}
"""Every 200th record of these is acknowledged and not written."""
UNFENCED: Final = "unfenced_checkpoint"
"""Checkpoints are written by a plain producer, so that a zombie's are not refused."""
UNSEEN: Final = "unseen_transition"
"""Every 200th transition that a group is handed, so a projector, is left out."""
_EVERY: Final = 200


def have_defect(log: Log, names: TopicNames, defect: str) -> None:
    """Give this log the planted defect."""
    if defect == UNFENCED:
        _unfence(log)
        return
    if defect == UNSEEN:
        _look_away(log, names.transitions)
        return
    drop, open_outbox = DEFECTS[defect], log.outbox

    async def outbox(**arguments: Any) -> Outbox:
        opened = await open_outbox(**arguments)
        send, seen = opened.send, 0

        def leaky(write: Write, track: Track | None = None) -> None:
            nonlocal seen
            if drop(names, write):
                seen += 1
                if seen % _EVERY == 0:
                    return
            send(write, track)

        setattr(opened, "send", leaky)  # noqa: B010 - the outbox is someone else's object
        return opened

    setattr(log, "outbox", outbox)  # noqa: B010 - as above


def _unfence(log: Log) -> None:
    """Every commit after the first (the owner marker) goes through a plain outbox."""
    make = log.transactional

    def transactional(*arguments: Any, **options: Any) -> Any:
        writer = make(*arguments, **options)
        commit, commits = writer.commit, 0

        async def plain(writes: Any) -> Any:
            nonlocal commits
            commits += 1
            if commits == 1:
                return await commit(writes)
            outbox = await log.outbox(client_id="unfenced")
            await outbox.warm({each.topic for each in writes})
            places = [await outbox.write(each) for each in writes]
            await outbox.close()
            return places

        setattr(writer, "commit", plain)  # noqa: B010 - as above
        return writer

    setattr(log, "transactional", transactional)  # noqa: B010 - as above


def _look_away(log: Log, topic: str) -> None:
    """Members of groups miss some records of this topic."""
    make = log.group

    def group(*arguments: Any, **options: Any) -> Any:
        member = make(*arguments, **options)
        fetch, seen = member.fetch, 0

        async def blind(*limits: Any, **more: Any) -> Any:
            nonlocal seen
            found = await fetch(*limits, **more)
            for place, batch in found.items():
                if place.topic == topic:
                    kept = [each for at, each in enumerate(batch.records, seen + 1) if at % _EVERY]
                    seen += len(batch.records)
                    found[place] = msgspec.structs.replace(batch, records=tuple(kept))
            return found

        setattr(member, "fetch", blind)  # noqa: B010 - as above
        return member

    setattr(log, "group", group)  # noqa: B010 - as above


def mend_early(seconds: float) -> None:
    """Let the owner look early at what moves after a day or six, so that its crash points come within a run.

    The reconciler asks after whatever has not moved for this long; and a Forget is written although nothing is due
    (the rules then find nothing to drop: when something is dropped must not depend on who decides).
    """
    from tasker_kafka.streams.domain import reconcile
    from tasker_kafka.streams.lane import watch
    from tasker_kafka.streams.lane.timers import RetentionQueue

    def due_until(_queue: RetentionQueue, now: int, _limit: int) -> int:
        return now

    for module in (reconcile, watch):
        setattr(module, "OVERDUE_MS", round(seconds * 1000))  # noqa: B010 - a constant elsewhere
        setattr(module, "REDISPATCH_AFTER_MS", round(seconds * 1000))  # noqa: B010 - as above
    setattr(RetentionQueue, "due_until", due_until)  # noqa: B010 - as above
