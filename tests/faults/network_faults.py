"""Faults of one role's network: held back for short and for long, in one direction, reset in mid frame, slow.

The broker and all other roles go on. A role that hears nothing for longer than its session has been replaced without
knowing it; what it had sent before arrives when the network is back, and must change nothing.
"""

from __future__ import annotations

import asyncio
import random
from typing import Any, Final

from tests.faults.process_faults import TAKEOVER_SECONDS, until_out, until_zombie_ended
from tests.faults.projection_faults import until_projected
from tests.faults.rig import SESSION_MS, Outcome, Rig, now_ms
from tests.faults.wires import Way

__all__ = ["cut_network", "deaf_network", "mute_network", "reset_network", "short_cut", "slow_network"]

ROLES: Final = ("orchestrator", "worker")
RESETS: Final = 8


async def cut_network(rig: Rig, dice: random.Random) -> Outcome:
    """Nothing in both directions until others have taken over; then all that was held."""
    return await _until_replaced(rig, dice, *Way)


async def deaf_network(rig: Rig, dice: random.Random) -> Outcome:
    """What the role says arrives, and no answer, until others have taken over."""
    return await _until_replaced(rig, dice, Way.TO_ROLE)


async def mute_network(rig: Rig, dice: random.Random) -> Outcome:
    """What the role says does not arrive, until others have taken over."""
    return await _until_replaced(rig, dice, Way.TO_BROKER)


async def _until_replaced(rig: Rig, dice: random.Random, *ways: Way) -> Outcome:
    name = _chosen(rig, dice)
    wire = rig.wires[name]
    at, held, pid = now_ms(), wire.held_bytes, rig.fleet.roles[name].pid
    owned = rig.owned(name) if name.startswith("orchestrator") else {}
    rig.fleet.cut_off(name)
    wire.hold(*ways)
    try:
        if owned:
            replaced = await rig.observer.newer_owners(owned, TAKEOVER_SECONDS)
        else:
            replaced = await until_out(rig, name, pid)
        await asyncio.sleep(dice.uniform(0.0, 2.0))
    finally:
        wire.mend()
    proof: dict[str, Any] = {"role": name, "pid": pid, "partitions": sorted(owned), "replaced": replaced}
    proof |= {"held_bytes": wire.held_bytes - held, "held_ms": now_ms() - at}
    if owned:
        proof |= await until_zombie_ended(rig, name, pid)
    workers = () if owned else (pid,)
    stalled = await rig.stalled(owned, at)
    return Outcome(replaced and wire.held_bytes > held, proof, at, owned, workers=workers, stalled=stalled)


async def short_cut(rig: Rig, dice: random.Random) -> Outcome:
    """Nothing for less than a session: nobody may lose anything."""
    name, seconds = _chosen(rig, dice), dice.uniform(0.2, SESSION_MS / 1000 * 0.6)
    wire = rig.wires[name]
    held, at = wire.held_bytes, now_ms()
    wire.hold(*Way)
    await asyncio.sleep(seconds)
    wire.mend()
    partitions = _kept(rig, name)
    proof = {"role": name, "seconds": round(seconds, 2), "held_bytes": wire.held_bytes - held}
    stalled = await rig.stalled(partitions, now_ms())
    return Outcome(wire.held_bytes > held, proof, at, partitions, stalled=stalled)


async def reset_network(rig: Rig, dice: random.Random) -> Outcome:
    """Connections reset in the middle of a frame, again and again."""
    name = _chosen(rig, dice, *ROLES, "projector")
    wire = rig.wires[name]
    before, at = wire.broken, now_ms()
    for _ in range(RESETS):
        wire.break_now(dice)
        await asyncio.sleep(dice.uniform(0.05, 0.3))
        wire.mend()
        await asyncio.sleep(dice.uniform(0.05, 0.5))
    partitions = _kept(rig, name)
    proof = {"role": name, "connections_reset": wire.broken - before}
    since = now_ms()
    stalled = await rig.stalled(partitions, since)
    projected = await until_projected(rig)
    return Outcome(
        wire.broken > before and projected,
        proof | {"projected": projected},
        at,
        partitions,
        since,
        stalled=stalled,
    )


async def slow_network(rig: Rig, dice: random.Random) -> Outcome:
    """Some hundred milliseconds and few bytes per second: slower, and nothing else."""
    name = _chosen(rig, dice, *ROLES, "projector")
    wire = rig.wires[name]
    latency, seconds, at = dice.uniform(0.05, 0.3), dice.uniform(2.0, 6.0), now_ms()
    before = wire.delayed_bytes
    wire.slow(latency, 200_000)
    await asyncio.sleep(seconds)
    wire.mend()
    partitions = _kept(rig, name)
    since = now_ms()
    stalled = await rig.stalled(partitions, since)
    proof: dict[str, Any] = {"role": name, "latency_ms": round(latency * 1000), "seconds": round(seconds, 1)}
    proof["delayed_bytes"] = wire.delayed_bytes - before
    return Outcome(wire.delayed_bytes > before, proof, at, partitions, since, stalled=stalled)


def _chosen(rig: Rig, dice: random.Random, *kinds: str) -> str:
    """A running role of these kinds."""
    return dice.choice(sorted(name for kind in kinds or ROLES for name in rig.fleet.names(kind)))


def _kept(rig: Rig, name: str) -> dict[int, int]:
    """The partitions of an orchestrator: it may keep them or lose them, but somebody must go on with them."""
    return dict.fromkeys(rig.owned(name), -1) if name.startswith("orchestrator") else {}
