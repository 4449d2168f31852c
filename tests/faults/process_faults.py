"""Faults of role processes: killed, stopped for short and for long, ended gracefully, joined by others."""

from __future__ import annotations

import asyncio
import random
import signal
import time
from typing import Any, Final

from tasker_kafka.schemas.exits import ExitCode
from tests.checker import read_ledger
from tests.faults.plans import KILLER
from tests.faults.rig import QUEUE, SESSION_MS, Outcome, Rig, now_ms
from tests.faults.wrong_clock import CLOCK_FAULT, tell

__all__ = [
    "clock_jump",
    "graceful_orchestrator",
    "graceful_worker",
    "kill_orchestrator",
    "kill_worker",
    "killer_step",
    "rebalance",
    "rebalance_storm",
    "short_stop",
    "until_out",
    "until_zombie_ended",
    "zombie_orchestrator",
    "zombie_worker",
]

TAKEOVER_SECONDS: Final = SESSION_MS / 1000 + 25
ZOMBIE_END_SECONDS: Final = 20.0
KILLER_SECONDS: Final = 120.0
_WRONG_MINUTES: Final = (5, 50, 90, 24 * 60)


def _number(name: str) -> int:
    return int(name.rpartition("-")[2])


async def kill_orchestrator(rig: Rig, dice: random.Random) -> Outcome:
    """kill −9 and restart at once."""
    name = dice.choice(rig.fleet.names("orchestrator"))
    owned, at = rig.owned(name), now_ms()
    end = await rig.fleet.kill(name)
    await rig.fleet.start("orchestrator", _number(name))
    taken = await rig.observer.newer_owners(owned, TAKEOVER_SECONDS)
    proof = {"role": name, "pid": end.pid, "exit": end.code, "partitions": sorted(owned), "new_owners": taken}
    return Outcome(
        end.code == -signal.SIGKILL and taken, proof, at, owned, stalled=await rig.stalled(owned, at)
    )


async def kill_worker(rig: Rig, dice: random.Random) -> Outcome:
    """kill −9 and restart at once."""
    name = dice.choice(rig.fleet.names("worker"))
    at, before = now_ms(), set(await rig.members(rig.names.worker_group(QUEUE)))
    end = await rig.fleet.kill(name)
    await rig.fleet.start("worker", _number(name))
    proof = {"role": name, "pid": end.pid, "exit": end.code, "joined": await _until_joined(rig, before)}
    return Outcome(end.code == -signal.SIGKILL, proof, at, workers=(end.pid,))


async def _until_joined(rig: Rig, before: set[str]) -> bool:
    """Wait until the queue's group has a member that it had not before: whether it has."""
    group, until = rig.names.worker_group(QUEUE), time.monotonic() + TAKEOVER_SECONDS
    while time.monotonic() < until:
        if set(await rig.members(group)) - before:
            return True
        await asyncio.sleep(0.2)
    return False


async def _until_member(rig: Rig, pid: int) -> None:
    """Wait until this worker is in its group: before, it does not listen to SIGTERM yet."""
    group, until = rig.names.worker_group(QUEUE), time.monotonic() + TAKEOVER_SECONDS
    while time.monotonic() < until:
        if any(f"-{pid}-" in each for each in await rig.members(group)):
            return
        await asyncio.sleep(0.2)


async def zombie_orchestrator(rig: Rig, dice: random.Random) -> Outcome:
    """SIGSTOP until others own its partitions, then SIGCONT: it must find that out and write nothing that counts."""
    name = dice.choice(rig.fleet.names("orchestrator"))
    owned, at = rig.owned(name), now_ms()
    rig.fleet.stop(name)
    taken = await rig.observer.newer_owners(owned, TAKEOVER_SECONDS)
    await asyncio.sleep(dice.uniform(0.0, 2.0))
    was_stopped = rig.fleet.state_of(name) == "T"
    pid = rig.fleet.roles[name].pid
    rig.fleet.go_on(name)
    proof = {"role": name, "pid": pid, "partitions": sorted(owned), "new_owners": taken}
    proof |= await until_zombie_ended(rig, name, pid)
    return Outcome(was_stopped and taken, proof, at, owned, stalled=await rig.stalled(owned, at))


async def until_zombie_ended(rig: Rig, name: str, pid: int) -> dict[str, Any]:
    """Wait until an orchestrator that was replaced has found that out: how it ended."""
    try:
        if rig.fleet.roles[name].pid == pid:
            await rig.fleet.wait_end(name, ZOMBIE_END_SECONDS)
    except TimeoutError:
        return {"exit": None}  # it had nothing to save and joined again
    end = rig.fleet.last_end(name)
    if end.code == ExitCode.FENCED and not rig.fleet.roles[name].is_running:
        await rig.fleet.start("orchestrator", _number(name))  # a supervisor leaves it down; the run goes on
    said = "a newer owner has taken over"
    return {"exit": end.code, "said": said if said in rig.fleet.log_of(name) else ""}


async def zombie_worker(rig: Rig, dice: random.Random) -> Outcome:
    """SIGSTOP until the group has thrown it out, then SIGCONT: what it answers then is answered twice."""
    name = dice.choice(rig.fleet.names("worker"))
    at, pid = now_ms(), rig.fleet.roles[name].pid
    rig.fleet.stop(name)
    try:
        is_out = await until_out(rig, name, pid)
        await asyncio.sleep(dice.uniform(0.0, 2.0))
        was_stopped = rig.fleet.state_of(name) == "T"
    finally:
        rig.fleet.go_on(name)
    proof = {"role": name, "pid": pid, "out_of_group": is_out, "stopped_ms": now_ms() - at}
    return Outcome(was_stopped and is_out, proof, at, workers=(pid,))


async def until_out(rig: Rig, name: str, pid: int) -> bool:
    """Wait until the queue's group lists no member of that process or instance."""
    group, until = rig.names.worker_group(QUEUE), time.monotonic() + TAKEOVER_SECONDS
    while time.monotonic() < until:
        members = await rig.members(group)
        if not any(f"-{pid}-" in each or each.startswith(f"{name}-") for each in members):
            return True
        await asyncio.sleep(0.2)
    return False


async def short_stop(rig: Rig, dice: random.Random) -> Outcome:
    """SIGSTOP for less than the session timeout: nobody may lose anything."""
    name = dice.choice([*rig.fleet.names("orchestrator"), *rig.fleet.names("worker")])
    at, seconds = now_ms(), dice.uniform(0.2, SESSION_MS / 1000 * 0.6)
    rig.fleet.stop(name)
    await asyncio.sleep(seconds)
    was_stopped = rig.fleet.state_of(name) == "T"
    rig.fleet.go_on(name)
    # Everything it owns may stay with it.
    partitions = dict.fromkeys(rig.owned(name), -1) if name.startswith("orch") else {}
    stalled = await rig.stalled(partitions, now_ms())
    return Outcome(was_stopped, {"role": name, "seconds": round(seconds, 2)}, at, partitions, stalled=stalled)


async def clock_jump(rig: Rig, dice: random.Random) -> Outcome:
    """A role's wall clock is wrong by minutes, hours or a day, in either direction, and right again."""
    name = dice.choice([*rig.fleet.names("orchestrator"), *rig.fleet.names("worker")])
    wrong_ms = dice.choice([-1, 1]) * dice.choice(_WRONG_MINUTES) * 60_000
    at, pid = now_ms(), rig.fleet.roles[name].pid
    tell(rig.ledger_folder, pid, wrong_ms)
    await asyncio.sleep(dice.uniform(2.0, 5.0))
    partitions = dict.fromkeys(rig.owned(name), -1) if name.startswith("orch") else {}
    stalled = await rig.stalled(partitions, now_ms())
    is_same = rig.fleet.roles[name].pid == pid
    if is_same:
        tell(rig.ledger_folder, pid, 0)
    shown = [
        each.detail["shows"] - each.at
        for each in read_ledger(rig.ledger_folder).faults
        if each.fault == CLOCK_FAULT and each.detail["pid"] == pid and each.at >= at
    ]
    is_wrong = any(abs(each - wrong_ms) < 1_000 for each in shown)
    proof = {"role": name, "pid": pid, "minutes": wrong_ms // 60_000, "set": is_wrong, "survived": is_same}
    return Outcome(is_wrong and is_same, proof, at, partitions, stalled=stalled)


async def graceful_orchestrator(rig: Rig, dice: random.Random) -> Outcome:
    """SIGTERM and restart."""
    name = dice.choice(rig.fleet.names("orchestrator"))
    owned, at = rig.owned(name), now_ms()
    begun = time.monotonic()
    end = await rig.fleet.terminate(name)
    took = round(time.monotonic() - begun, 2)
    await asyncio.sleep(dice.uniform(0.0, 1.0))
    await rig.fleet.start("orchestrator", _number(name))
    taken = await rig.observer.newer_owners(owned, TAKEOVER_SECONDS)
    proof = {"role": name, "pid": end.pid, "exit": end.code, "stop_seconds": took, "new_owners": taken}
    return Outcome(end.code == 0 and taken, proof, at, owned, stalled=await rig.stalled(owned, at))


async def graceful_worker(rig: Rig, dice: random.Random) -> Outcome:
    """SIGTERM and restart."""
    name = dice.choice(rig.fleet.names("worker"))
    await _until_member(rig, rig.fleet.roles[name].pid)
    at, begun = now_ms(), time.monotonic()
    before = set(await rig.members(rig.names.worker_group(QUEUE)))
    end = await rig.fleet.terminate(name)
    took = round(time.monotonic() - begun, 2)
    await rig.fleet.start("worker", _number(name))
    proof = {"role": name, "pid": end.pid, "exit": end.code, "stop_seconds": took}
    proof["joined"] = await _until_joined(rig, before)
    return Outcome(end.code == 0, proof, at, workers=(end.pid,))


async def rebalance(rig: Rig, dice: random.Random) -> Outcome:
    """One orchestrator more joins; it leaves again."""
    return await _join_and_leave(rig, dice, 1)


async def rebalance_storm(rig: Rig, dice: random.Random) -> Outcome:
    """Several join and leave, gracefully or not, one upon the other."""
    return await _join_and_leave(rig, dice, dice.randrange(3, 6))


async def _join_and_leave(rig: Rig, dice: random.Random, times: int) -> Outcome:
    before = rig.all_owned()
    guest = f"orchestrator-{rig.orchestrators}"
    ends = []
    for turn in range(times):
        await rig.fleet.start("orchestrator", rig.orchestrators)
        if turn == 0 or times == 1:
            await rig.observer.newer_owners(before, TAKEOVER_SECONDS)
        await asyncio.sleep(dice.uniform(0.0, 1.5))
        leave = rig.fleet.kill if times > 1 and dice.random() < 0.5 else rig.fleet.terminate
        ends.append((await leave(guest)).code)
    taken = await rig.observer.newer_owners(rig.owned(guest), TAKEOVER_SECONDS)
    newer = {
        number: [owner for owner in view.owners if owner.number > before[number]]
        for number, view in rig.observer.views.items()
    }
    numbers = {number: len(owners) for number, owners in newer.items()}
    at = min((owner.at for owners in newer.values() for owner in owners), default=now_ms())
    proof = {"joined": times, "exits": ends, "new_owners_by_partition": numbers}
    bit = taken and all(numbers.values()) and set(ends) <= {0, -signal.SIGKILL, -signal.SIGTERM}
    return Outcome(bit, proof, at, before, stalled=await rig.stalled(before, at))


async def killer_step(rig: Rig, dice: random.Random) -> Outcome:
    """A step that kills its worker: after three deliveries the task ends, and the worker lives."""
    at, seen = now_ms(), len(rig.fleet.ends)
    task_id = rig.load.request(KILLER)
    ended = await rig.observer.until(lambda: task_id in rig.observer.resting, KILLER_SECONDS)
    deaths = [end.pid for end in rig.fleet.ends[seen:] if end.name.startswith("worker") and not end.wanted]
    proof = {"task": task_id.hex(), "workers_killed": deaths, "task_state": rig.observer.resting.get(task_id)}
    return Outcome(ended and bool(deaths), proof, at, workers=tuple(deaths))
