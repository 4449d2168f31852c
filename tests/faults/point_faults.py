"""Deaths at named crash points: which role dies there, and what has to happen for it to get there.

The role is ended and started again with the point in its environment; it dies there by its own SIGKILL, and is
started once more without. The proof is its exit status and the line that it wrote to the ledger before it died.
"""

from __future__ import annotations

import asyncio
import json
import random
import signal
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final

from tasker_kafka.handlers.worker.crash_points import WorkerCrashPoint as Worker
from tasker_kafka.schemas.errors import TaskerError
from tasker_kafka.streams.lane import CrashPoint
from tests.faults.fleet import End
from tests.faults.injection import CRASH_POINT_FAULT, EARLY
from tests.faults.log_faults import duplicate_dispatches
from tests.faults.plans import KILLER, LARGE, LONG, LONG_STEP, SLOW
from tests.faults.process_faults import TAKEOVER_SECONDS
from tests.faults.rig import SESSION_MS, Outcome, Rig, now_ms

__all__ = ["die_at", "kind_of"]

DEATH_SECONDS: Final = 60.0
TURN_SECONDS: Final = 0.5

_ROLES: Final = {"worker": "worker", "client": "client", "projection": "projector"}
"""By the first word of its points; the rest is the orchestrator's."""

Urge = Callable[[Rig, str, random.Random], Awaitable[None]]
"""Does once what brings the role nearer to its crash point."""


def kind_of(point: str) -> str:
    """Which role passes this point."""
    return _ROLES.get(point.partition(".")[0], "orchestrator")


@dataclass(frozen=True)
class Recipe:
    """How a role is brought to die at a point."""

    most: int = 1
    """It dies at one of the first so many passings."""
    urge: Urge | None = None
    """Done again and again until it dies. None: the load brings it there."""
    environment: Mapping[str, str] = field(default_factory=dict)
    is_for_all: bool = False
    """Every role of the kind dies there: it cannot be said which one comes to it first."""


async def _ask_for(rig: Rig, shape: str, count: int) -> None:
    for _ in range(count):
        rig.load.request(shape)


async def _large(rig: Rig, name: str, dice: random.Random) -> None:
    await _ask_for(rig, LARGE, 8)


async def _slow(rig: Rig, name: str, dice: random.Random) -> None:
    await _ask_for(rig, SLOW, 4)


async def _poison(rig: Rig, name: str, dice: random.Random) -> None:
    rig.load.poison()


async def _unknown(rig: Rig, name: str, dice: random.Random) -> None:
    await _ask_for(rig, "nobody_published_this", 8)


async def _loss(rig: Rig, name: str, dice: random.Random) -> None:
    """The others of its kind are killed in the middle of their work, so that it has something to take up."""
    await _until_at_work(rig, name)
    await asyncio.sleep(2.0)
    kind = name.rpartition("-")[0]
    for other in rig.fleet.names(kind):
        if other != name:
            await rig.fleet.kill(other)
    await asyncio.sleep(SESSION_MS / 1000 + 4.0)
    await rig.restore()


async def _copies(rig: Rig, name: str, dice: random.Random) -> None:
    await duplicate_dispatches(rig, dice)


async def _killer(rig: Rig, name: str, dice: random.Random) -> None:
    """One killer step is enough; it is delivered until it is answered."""
    task_id = rig.load.request(KILLER)
    await rig.observer.until(lambda: task_id in rig.observer.resting, DEATH_SECONDS)


async def _terminate(rig: Rig, name: str, dice: random.Random) -> None:
    """SIGTERM, once it is at work."""
    await _until_at_work(rig, name)
    await asyncio.sleep(1.0)
    rig.fleet._signal(rig.fleet.roles[name], signal.SIGTERM)
    await asyncio.sleep(DEATH_SECONDS)


async def _until_at_work(rig: Rig, name: str) -> None:
    """Wait until a role that was just started decides in what it owns, or runs a handler."""
    if name.startswith("worker"):
        await _until_started(rig, name, b"started")
    else:
        await rig.observer.until(lambda: bool(rig.owned(name)), TAKEOVER_SECONDS)
        mine = {partition: number - 1 for partition, number in rig.owned(name).items()}
        await rig.observer.go_on(mine, 0, TAKEOVER_SECONDS)


async def _until_started(rig: Rig, worker: str, word: bytes) -> None:
    """Wait until a worker's handlers have written this word to the ledger."""
    path = rig.ledger_folder / f"handlers.{rig.fleet.roles[worker].pid}.jsonl"
    while not path.exists() or word not in path.read_bytes():  # noqa: ASYNC110 - another process writes it
        await asyncio.sleep(TURN_SECONDS)


async def _terminate_busy(rig: Rig, name: str, dice: random.Random) -> None:
    """SIGTERM while a handler runs that cannot be waited for."""
    await _until_at_work(rig, name)
    await _ask_for(rig, LONG, 16)
    await _until_started(rig, name, LONG_STEP)
    await asyncio.sleep(2.5)
    rig.fleet._signal(rig.fleet.roles[name], signal.SIGTERM)
    await asyncio.sleep(DEATH_SECONDS)


async def _no_workers(rig: Rig, name: str, dice: random.Random) -> None:
    """Dispatches wait, for a reconciler that asks early."""
    await _until_at_work(rig, name)
    for worker in rig.fleet.names("worker"):
        rig.fleet.stop(worker)
    await asyncio.sleep(2.0)
    for worker in rig.fleet.names("worker"):
        rig.fleet.go_on(worker)
    await asyncio.sleep(1.0)


async def _silence(rig: Rig, name: str, dice: random.Random) -> None:
    """The broker is silent for longer than the worker waits for an acknowledgement."""
    await rig.brokers.pause(4.0)
    await asyncio.sleep(2.0)


_RECIPES: Final[Mapping[str, Recipe]] = {
    CrashPoint.ACQUIRE_BEGIN: Recipe(2),
    CrashPoint.ACQUIRE_FENCED: Recipe(2),
    CrashPoint.ACQUIRE_MARKED: Recipe(2),
    CrashPoint.ACQUIRE_LOADED: Recipe(2),
    CrashPoint.ACQUIRE_HISTORY_READ: Recipe(2),
    CrashPoint.ACQUIRE_LIVE: Recipe(2),
    CrashPoint.REPLAY_OUTPUTS_REPEATED: Recipe(1, _loss),
    CrashPoint.REFUSED: Recipe(1, _poison),
    CrashPoint.TIMER_SENT: Recipe(5),
    CrashPoint.FORGET_SENT: Recipe(1, None, {EARLY: "1", "TASKER_ENGINE__FORGET_INTERVAL_MS": "1000"}),
    CrashPoint.RECONCILE_SENT: Recipe(
        1, _no_workers, {EARLY: "1", "TASKER_ENGINE__RECONCILE_INTERVAL_MS": "500"}
    ),
    CrashPoint.RELEASED: Recipe(1, _terminate),
    CrashPoint.INTAKE_PAYLOAD_STORED: Recipe(8, _large),
    CrashPoint.INTAKE_REJECTED: Recipe(4, _unknown),
    Worker.ASSIGNED: Recipe(),
    Worker.SUSPECT_COUNTED: Recipe(1, _loss),
    Worker.REPORT_SENT: Recipe(3, _slow),
    Worker.REPORT_ACKNOWLEDGED: Recipe(3, _slow),
    Worker.PAYLOAD_STORED: Recipe(5, _large),
    Worker.ANSWER_REPEATED: Recipe(3, _copies),
    Worker.SENT_AGAIN: Recipe(1, _silence, {"TASKER_BROKER__DELIVERY_TIMEOUT_SECONDS": "2"}),
    Worker.LOSS_ANSWERED: Recipe(1, _killer, is_for_all=True),
    Worker.GIVEN_BACK: Recipe(1, _terminate_busy),
    Worker.REVOKED: Recipe(1, _terminate),
}
_OFTEN: Final = Recipe(60)
_NOW_AND_THEN: Final = Recipe(6)


def _recipe(point: str) -> Recipe:
    if point in _RECIPES:
        return _RECIPES[point]
    rare = point.startswith(("checkpoint.", "client.", "host.")) or "commit" in point or "barrier" in point
    return _NOW_AND_THEN if rare else _OFTEN


async def die_at(rig: Rig, dice: random.Random, point: str) -> Outcome:
    """Let a role die at this point; start it again."""
    kind, recipe = kind_of(point), _recipe(point)
    names = sorted(name for name in rig.fleet.roles if name.startswith(kind))
    if kind == "orchestrator":
        names = [name for name in names if not name.endswith(f"-{rig.orchestrators}")]
    chosen = names if recipe.is_for_all else [dice.choice(names)]
    nth = dice.randint(1, recipe.most)
    for name in chosen:
        await rig.fleet.terminate(name)
    for name in chosen:
        number = int(name.rpartition("-")[2])
        await rig.fleet.start(kind, number, crash=f"{point}:{nth}", **recipe.environment)
        rig.fleet.hold(name)
    end = await _until_death(rig, dice, chosen, recipe)
    at = now_ms() if end is None else round(end.at * 1000)
    before = rig.all_owned()
    died_at = None if end is None else _last_words(rig, end.pid)
    for name in chosen:
        rig.fleet.go_on(name)
        if rig.fleet.roles[name].is_running:
            await rig.fleet.terminate(name)
    await rig.restore()
    proof: dict[str, Any] = {
        "point": point,
        "nth": nth,
        "role": ",".join(chosen),
        "pid": None if end is None else end.pid,
        "exit": None if end is None else end.code,
        "said": died_at,
    }
    bit = end is not None and end.code == -signal.SIGKILL and died_at == point
    if kind != "orchestrator":
        pids = () if end is None or kind != "worker" else (end.pid,)
        return Outcome(bit, proof, at, workers=pids)
    taken = await rig.retaken(chosen[0], before, TAKEOVER_SECONDS)
    return Outcome(bit and bool(taken), proof, at, taken, stalled=await rig.stalled(taken, at))


async def _until_death(rig: Rig, dice: random.Random, names: list[str], recipe: Recipe) -> End | None:
    """Wait until one of these dies at its point, and urge it on until then."""
    urging = asyncio.create_task(_urge_on(rig, dice, names[0], recipe.urge))
    waiting = [asyncio.create_task(_death(rig, name, recipe)) for name in names]
    try:
        done, _ = await asyncio.wait(waiting, timeout=DEATH_SECONDS, return_when=asyncio.FIRST_COMPLETED)
        return next((task.result() for task in done), None)
    finally:
        for task in (urging, *waiting):
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        for worker in rig.fleet.names("worker"):
            rig.fleet.go_on(worker)


async def _death(rig: Rig, name: str, recipe: Recipe) -> End:
    """The end at the point. Where others kill it before, it is started again with its order."""
    while True:
        await rig.fleet.roles[name].ended.wait()
        end = rig.fleet.last_end(name)
        if not recipe.is_for_all or _last_words(rig, end.pid) is not None:
            return end
        await rig.fleet.again(name)


async def _urge_on(rig: Rig, dice: random.Random, name: str, urge: Urge | None) -> None:
    while urge is not None:
        with suppress(TaskerError):
            await urge(rig, name, dice)
        await asyncio.sleep(TURN_SECONDS)


def _last_words(rig: Rig, pid: int) -> str | None:
    """The crash point at which a process said that it dies."""
    path = rig.ledger_folder / f"injector.{pid}.jsonl"
    if not path.exists():
        return None
    entry = json.loads(path.read_text().splitlines()[-1])
    return str(entry["detail"]["point"]) if entry["fault"] == CRASH_POINT_FAULT else None
