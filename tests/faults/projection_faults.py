"""Faults of the projection: projectors that are killed, and one that stands still while the other goes on.

Two projectors share one store. Whatever is done to them, its rows must be what the log says once they have caught up:
`tasker verify-rebuild --projection` judges that at the end of a run.
"""

from __future__ import annotations

import asyncio
import random
import signal
import sqlite3
import time
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Final

from tasker_kafka.topics.log import TopicPartition
from tests.faults.rig import Outcome, Rig, now_ms

__all__ = ["caught_up", "kill_projector", "until_projected", "zombie_projector"]

SESSION_SECONDS: Final = 10.0
"""Session timeout of a projector's group."""
TAKEOVER_SECONDS: Final = SESSION_SECONDS + 30
_LOOK_SECONDS: Final = 0.1


async def kill_projector(rig: Rig, dice: random.Random) -> Outcome:
    """kill −9 and restart at once."""
    name = dice.choice(rig.fleet.names("projector"))
    at = now_ms()
    end = await rig.fleet.kill(name)
    await rig.fleet.start("projector", int(name.rpartition("-")[2]))
    ends = await _later_ends(rig, at)
    done = await caught_up(rig, ends, TAKEOVER_SECONDS)
    proof = {"role": name, "pid": end.pid, "exit": end.code, "caught_up": done}
    mended = () if done is None else (now_ms() - at,)
    return Outcome(end.code == -signal.SIGKILL and done is not None, proof, at, mended_ms=mended)


async def zombie_projector(rig: Rig, dice: random.Random) -> Outcome:
    """SIGSTOP until the other has taken its partitions over, then SIGCONT: its old batch must change nothing."""
    name = dice.choice(rig.fleet.names("projector"))
    at = now_ms()
    rig.fleet.stop(name)
    try:
        done = await caught_up(rig, await _later_ends(rig, at), TAKEOVER_SECONDS)
        was_stopped = rig.fleet.state_of(name) == "T"
    finally:
        rig.fleet.go_on(name)
    proof = {"role": name, "stopped_ms": now_ms() - at, "caught_up": done}
    return Outcome(was_stopped and done is not None, proof, at)


async def caught_up(
    rig: Rig, ends: Mapping[int, int] | None = None, seconds: float = TAKEOVER_SECONDS
) -> float | None:
    """Wait until the store is where the transitions end (or ended: `ends`): how long it took; None: it did not."""
    wanted = ends or await _ends(rig)
    begun = time.monotonic()
    while time.monotonic() < begun + seconds:
        found = await asyncio.to_thread(_positions, rig.store, rig.names.transitions)
        if all(found.get(number, 0) >= end for number, end in wanted.items()):
            return round(time.monotonic() - begun, 2)
        await asyncio.sleep(_LOOK_SECONDS)
    return None


async def until_projected(rig: Rig) -> bool:
    """Wait until the store is where the transitions end now: whether it is."""
    return await caught_up(rig) is not None


async def _later_ends(rig: Rig, at: int) -> dict[int, int]:
    """Where the transitions end when every partition has something that was not there at this time."""
    await rig.stalled(dict.fromkeys(rig.observer.views, -1), at + 1)
    return await _ends(rig)


async def _ends(rig: Rig) -> dict[int, int]:
    return {
        number: await rig.log.end_offset(TopicPartition(rig.names.transitions, number))
        for number in rig.observer.views
    }


def _positions(store: Path, topic: str) -> dict[int, int]:
    """Read as anybody may: the tables are documented. Nothing while there is no store yet."""
    try:
        with closing(sqlite3.connect(f"file:{store}?mode=ro", uri=True, timeout=10.0)) as connection:
            found = connection.execute(
                "SELECT partition, next_offset FROM position WHERE topic = ?", (topic,)
            )
            return dict(found.fetchall())
    except sqlite3.OperationalError:
        return {}
