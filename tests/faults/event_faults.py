"""Faults of subscribers' processes: killed, stopped for longer than their session, ended, dead at a named point."""

from __future__ import annotations

import asyncio
import random
import signal
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from tasker_kafka.handlers.delivery.crash_points import DeliveryCrashPoint
from tests.faults.event_rig import LOOK_SECONDS, MEMBERS, Bite, EventRig
from tests.faults.rig import now_ms

__all__ = ["FAULTS", "POINTS_OF", "Fault", "die_at", "restart_broker"]

Fault = Callable[[EventRig, str, random.Random], Awaitable[Bite]]

DEATH_SECONDS: Final = 180.0
START_SECONDS: Final = 30.0
"""A process that is told to end before it listens to that has no time to do it in order."""

POINTS_OF: Final[Mapping[str, tuple[DeliveryCrashPoint, ...]]] = {
    "audit": (
        DeliveryCrashPoint.ASSIGNED,
        DeliveryCrashPoint.HANDLER_BEGUN,
        DeliveryCrashPoint.COMMIT_BEGUN,
        DeliveryCrashPoint.REVOKED,
    ),
    "billing": (
        DeliveryCrashPoint.HANDLER_ENDED,
        DeliveryCrashPoint.RECEIPT_BEGUN,
        DeliveryCrashPoint.RECEIPT_WRITTEN,
        DeliveryCrashPoint.COMMITTED,
    ),
    "flaky": (
        DeliveryCrashPoint.LOADED,
        DeliveryCrashPoint.RETRY_BEGUN,
        DeliveryCrashPoint.RETRY_WRITTEN,
        DeliveryCrashPoint.DLQ_BEGUN,
        DeliveryCrashPoint.DLQ_WRITTEN,
    ),
}
"""Every declared point, in a group whose members pass it."""
_OF_REBALANCES: Final = {DeliveryCrashPoint.REVOKED, DeliveryCrashPoint.LOADED}
"""Passed at a rebalance only; of the second, only when something lies parked then."""
_MOST: Final[Mapping[DeliveryCrashPoint, int]] = {
    DeliveryCrashPoint.HANDLER_BEGUN: 60,
    DeliveryCrashPoint.HANDLER_ENDED: 60,
    DeliveryCrashPoint.RECEIPT_BEGUN: 60,
    DeliveryCrashPoint.RECEIPT_WRITTEN: 60,
    DeliveryCrashPoint.COMMIT_BEGUN: 8,
    DeliveryCrashPoint.COMMITTED: 8,
    DeliveryCrashPoint.RETRY_BEGUN: 2,
    DeliveryCrashPoint.RETRY_WRITTEN: 2,
}
"""Passings at one of which the process dies; of the others, the first."""


def _any_member(group: str, dice: random.Random) -> str:
    return f"{group}-{dice.randrange(MEMBERS)}"


async def kill(rig: EventRig, group: str, dice: random.Random) -> Bite:
    """kill −9 of a member that has partitions, at a random moment; it is started again at once."""
    assert await rig.until(lambda: rig.is_whole(group)), f"group {group} does not come together"
    await asyncio.sleep(dice.uniform(0.0, 1.5))  # the moment itself is the fault
    return await _kill(rig, "kill", group, [_any_member(group, dice)])


async def kill_early(rig: EventRig, group: str, dice: random.Random) -> Bite:
    """kill −9 at any moment: of a process that starts, or joins, or takes partitions over."""
    await asyncio.sleep(dice.uniform(0.0, 4.0))  # as above
    return await _kill(rig, "kill_early", group, [_any_member(group, dice)])


async def kill_all(rig: EventRig, group: str, dice: random.Random) -> Bite:
    """kill −9 of the whole group at once."""
    assert await rig.until(lambda: rig.is_whole(group)), f"group {group} does not come together"
    await asyncio.sleep(dice.uniform(0.0, 1.5))  # as above
    return await _kill(rig, "kill_all", group, [f"{group}-{number}" for number in range(MEMBERS)])


async def _kill(rig: EventRig, kind: str, group: str, names: list[str]) -> Bite:
    owned = await rig.owned(group)
    at = now_ms()
    ends = await asyncio.gather(*map(rig.fleet.kill, names))
    for name in names:
        await rig.launch(name)
    lost = tuple((number, end.pid) for end in ends for number in sorted(owned.get(end.pid, ())))
    proof = {"pids": [end.pid for end in ends], "exits": [end.code for end in ends]}
    was_there = kind == "kill_early" or bool(lost)
    return Bite(kind, group, was_there and set(proof["exits"]) == {-signal.SIGKILL}, at, proof, lost)


async def zombie(rig: EventRig, group: str, dice: random.Random) -> Bite:
    """SIGSTOP until the group has thrown it out, then SIGCONT: it must find that out, and join again."""
    assert await rig.until(lambda: rig.is_whole(group)), f"group {group} does not come together"
    name = _any_member(group, dice)
    await asyncio.sleep(dice.uniform(0.0, 1.0))  # as above
    pid, owned, at = rig.pid(name), await rig.owned(group), now_ms()

    async def is_out() -> bool:
        others = await rig.owned(group)
        return bool(others) and pid not in others

    async def is_back() -> bool:
        return not rig.fleet.roles[name].is_running or bool((await rig.owned(group)).get(pid))

    rig.fleet.stop(name)
    try:
        was_thrown_out = await rig.until(is_out)
        await asyncio.sleep(dice.uniform(0.0, 2.0))  # as above
        was_stopped = rig.fleet.state_of(name) == "T"
    finally:
        rig.fleet.go_on(name)
    proof = {"pid": pid, "out": was_thrown_out, "stopped_ms": now_ms() - at}
    lost = tuple((number, pid) for number in sorted(owned.get(pid, ())))
    has_come_back = await rig.until(is_back)
    return Bite("zombie", group, was_thrown_out and was_stopped and has_come_back, at, proof, lost)


async def terminate(rig: EventRig, group: str, dice: random.Random) -> Bite:
    """SIGTERM at any moment, also of a process that starts or joins; started again."""
    await asyncio.sleep(dice.uniform(0.0, 4.0))  # as above
    name, owned, at = _any_member(group, dice), await rig.owned(group), now_ms()
    begun = time.monotonic()
    end = await rig.terminate(name)
    took = round(time.monotonic() - begun, 2)
    await rig.launch(name)
    is_young = end.code == -signal.SIGTERM and end.lived < START_SECONDS
    proof = {"pid": end.pid, "exit": end.code, "stop_seconds": took, "owned": sorted(owned.get(end.pid, ()))}
    return Bite("terminate", group, end.code == 0 or is_young, at, proof)


async def die_at(rig: EventRig, group: str, dice: random.Random, point: DeliveryCrashPoint) -> Bite:
    """Let a member die at this point; start it again."""
    name, other = f"{group}-0", f"{group}-1"
    nth = dice.randint(1, _MOST.get(point, 1))
    while True:
        await rig.terminate(name)
        await rig.launch(name, crash=f"{point}:{nth}")
        owned: dict[int, frozenset[int]] = {}
        until = time.monotonic() + DEATH_SECONDS
        while rig.fleet.roles[name].is_running and time.monotonic() < until:
            found = await rig.owned(group)
            owned = found if rig.pid(name) in found else owned
            if point in _OF_REBALANCES and await rig.is_whole(group):
                await rig.terminate(other)  # its leaving makes the group share anew
                await rig.launch(other)
            await asyncio.sleep(LOOK_SECONDS)
        has_died = not rig.fleet.roles[name].is_running
        if not has_died:
            await rig.terminate(name)
        end = rig.fleet.last_end(name)
        if end.code in {0, -signal.SIGKILL}:
            break  # else the broker was away when it started
    await rig.launch(name)
    lost = tuple((number, end.pid) for number in sorted(owned.get(end.pid, ())))
    proof = {"point": point, "nth": nth, "pid": end.pid, "exit": end.code}
    return Bite("crash_point", group, end.code == -signal.SIGKILL, round(end.at * 1000), proof, lost)


async def restart_broker(rig: EventRig, dice: random.Random) -> Bite:
    """kill −9 of the broker; it is back after a moment."""
    pid, at = rig.broker.pid, now_ms()
    await asyncio.to_thread(rig.broker.kill)
    await asyncio.sleep(dice.uniform(0.0, 2.0))  # as above
    await asyncio.to_thread(rig.broker.restart)
    proof = {"pid": pid, "new_pid": rig.broker.pid, "down_ms": now_ms() - at}
    return Bite("broker", "", rig.broker.pid != pid, at, proof)


FAULTS: Final[Mapping[str, Fault]] = {
    "kill": kill,
    "kill_early": kill_early,
    "kill_all": kill_all,
    "zombie": zombie,
    "terminate": terminate,
}
