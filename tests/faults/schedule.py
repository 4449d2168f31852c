"""Which fault comes when: all of it follows from the seed, so that a run can be played again.

Kinds are drawn from a bag that holds each as often as its weight and is filled again when it is empty: so each comes
about as often as it should in a run of any length. Crash points are drawn from a bag of their own.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Final

from tests.faults import log_faults as log
from tests.faults import network_faults as network
from tests.faults import process_faults as process
from tests.faults import projection_faults as projection
from tests.faults.injection import CRASH_POINT_FAULT, all_points
from tests.faults.point_faults import die_at
from tests.faults.rig import Inject

__all__ = ["CLUSTER_ONLY", "KINDS", "NETWORK", "ONE_BROKER_ONLY", "Schedule", "Slot"]

KINDS: Final[Mapping[str, tuple[Inject | None, int]]] = {
    "kill_orchestrator": (process.kill_orchestrator, 3),
    "kill_worker": (process.kill_worker, 3),
    "zombie_orchestrator": (process.zombie_orchestrator, 1),
    "zombie_worker": (process.zombie_worker, 1),
    "short_stop": (process.short_stop, 2),
    "clock_jump": (process.clock_jump, 2),
    "graceful_orchestrator": (process.graceful_orchestrator, 1),
    "graceful_worker": (process.graceful_worker, 1),
    "rebalance": (process.rebalance, 1),
    "rebalance_storm": (process.rebalance_storm, 1),
    "killer_step": (process.killer_step, 1),
    "kill_projector": (projection.kill_projector, 1),
    "zombie_projector": (projection.zombie_projector, 1),
    "kill_broker": (log.kill_broker, 1),
    "pause_broker": (log.pause_broker, 1),
    "full_disk": (log.full_disk, 1),
    "kill_leader": (log.kill_leader, 2),
    "cut_network": (network.cut_network, 1),
    "deaf_network": (network.deaf_network, 1),
    "mute_network": (network.mute_network, 1),
    "short_cut": (network.short_cut, 1),
    "reset_network": (network.reset_network, 1),
    "slow_network": (network.slow_network, 1),
    "duplicate_commands": (log.duplicate_commands, 1),
    "duplicate_requests": (log.duplicate_requests, 1),
    "duplicate_dispatches": (log.duplicate_dispatches, 1),
    "reset_orchestrators": (log.reset_orchestrators, 1),
    "reset_workers": (log.reset_workers, 1),
    CRASH_POINT_FAULT: (None, 14),
}
"""What injects each kind, and its weight in the bag."""
LONGEST_PAUSE: Final = 1.5
"""Seconds between two faults, at most."""
CLUSTER_ONLY: Final = frozenset({"kill_leader"})
NETWORK: Final = frozenset(
    {"cut_network", "deaf_network", "mute_network", "short_cut", "reset_network", "slow_network"}
)
"""These need a wire for each role."""
ONE_BROKER_ONLY: Final = NETWORK | {"full_disk"}
"""Not with three: the wires lead to one, and of three the one whose disk is full is a `kill_leader`."""
_ONCE: Final = frozenset({"reset_workers", "reset_orchestrators"})
"""Only in the first bag: they cost as much as all that has happened before them."""


class Slot:
    """One fault to come: its kind, what injects it, and the pause before it in seconds."""

    def __init__(self, kind: str, inject: Inject, pause: float, point: str | None = None) -> None:
        self.kind = kind
        self.inject = inject
        self.pause = pause
        self.point = point


class Schedule:
    """Endless; `points_left` are the declared crash points that were not drawn yet."""

    def __init__(self, seed: int, kinds: Sequence[str], points: Sequence[str] = ()) -> None:
        """`points`: the crash points to come to; default all that are declared."""
        self._dice = random.Random(f"schedule {seed}")
        self._kinds = kinds
        self._all_points = sorted(points or all_points())
        self._bag: list[str] = []
        self._bags = 0
        self._points: list[str] = []
        self.points_left = set(self._all_points) if CRASH_POINT_FAULT in kinds else set()

    def next(self) -> Slot:
        """The next fault."""
        if not self._bag:
            self._fill()
        kind = self._bag.pop()
        pause = self._dice.uniform(0.2, LONGEST_PAUSE)
        inject = KINDS[kind][0]
        if inject is not None:
            return Slot(kind, inject, pause)
        return self.point(pause)

    def point(self, pause: float) -> Slot:
        """The next crash point."""
        if not self._points:
            self._points = list(self._all_points)
            self._dice.shuffle(self._points)
        point = self._points.pop()
        self.points_left.discard(point)
        return Slot(CRASH_POINT_FAULT, partial(die_at, point=point), pause, point)

    def _fill(self) -> None:
        wanted = {kind: KINDS[kind][1] for kind in self._kinds if not (self._bags and kind in _ONCE)}
        self._bag = [kind for kind, weight in wanted.items() for _ in range(weight)]
        self._dice.shuffle(self._bag)
        self._bags += 1
