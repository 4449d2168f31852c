"""What comes when is the seed's, and every kind comes."""

from __future__ import annotations

from collections import Counter

from tests.faults.schedule import CLUSTER_ONLY, KINDS, Schedule

ALL = [kind for kind in KINDS if kind not in CLUSTER_ONLY]
BAG = sum(KINDS[kind][1] for kind in ALL)


def drawn(seed: int, count: int) -> list[tuple[str, float, str | None]]:
    """The first slots of a seed."""
    schedule = Schedule(seed, ALL)
    return [(slot.kind, slot.pause, slot.point) for slot in (schedule.next() for _ in range(count))]


def test_a_seed_gives_the_same_faults_again() -> None:
    assert drawn(5, 100) == drawn(5, 100) != drawn(6, 100)


def test_a_bag_holds_every_kind() -> None:
    kinds = Counter(kind for kind, _, _ in drawn(1, BAG))
    assert kinds == {kind: KINDS[kind][1] for kind in ALL}


def test_positions_are_put_back_once() -> None:
    kinds = Counter(kind for kind, _, _ in drawn(1, 4 * BAG))
    assert kinds["reset_workers"] == kinds["reset_orchestrators"] == 1
    assert kinds["zombie_worker"] >= 4


def test_kinds_can_be_chosen() -> None:
    schedule = Schedule(1, ["kill_worker"])
    assert {schedule.next().kind for _ in range(10)} == {"kill_worker"}
    assert not schedule.points_left
