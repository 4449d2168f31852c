"""The lists of crash points are complete: what is declared is reached in the code, and the run knows how."""

from __future__ import annotations

import re
from enum import StrEnum

import pytest

from tasker_kafka.handlers.worker.crash_points import WorkerCrashPoint
from tasker_kafka.streams.lane import CrashPoint
from tasker_kafka.streams.projection.crash_points import ProjectionCrashPoint
from tasker_kafka.topics.crash_points import ClientCrashPoint
from tests.faults.injection import all_points
from tests.faults.point_faults import kind_of
from tests.faults.schedule import Schedule
from tests.support.source_tree import package_modules

ENUMS: list[type[StrEnum]] = [CrashPoint, WorkerCrashPoint, ClientCrashPoint, ProjectionCrashPoint]


def reached(name: str) -> set[str]:
    """The members of this enum that some code passes to `reached`, as they are or by a name of the module."""
    call = re.compile(rf"reached\(\s*{name}\.([A-Z_]+)\s*\)")
    alias = re.compile(rf"^(_[A-Z_]+)\b.* = ({name}\.[A-Z_]+)$", re.MULTILINE)
    found: set[str] = set()
    for module in package_modules():
        text = module.text
        for short, member in alias.findall(text):
            text = text.replace(f"reached({short})", f"reached({member})")
        found.update(call.findall(text))
    return found


@pytest.mark.parametrize("points", ENUMS, ids=lambda points: points.__name__)
def test_every_declared_point_is_reached_in_the_code(points: type[StrEnum]) -> None:
    assert reached(points.__name__) == {each.name for each in points}


def test_points_have_names_of_their_own() -> None:
    points, of_rebuilds = all_points(), [each for each in ProjectionCrashPoint if "rebuild" in each]
    assert len(points) == len(set(points)) == sum(len(each) for each in ENUMS) - len(of_rebuilds)
    assert len(of_rebuilds) == 3


def test_every_point_is_one_roles() -> None:
    of_kind = {
        kind: {p for p in all_points() if kind_of(p) == kind} for kind in ("worker", "client", "projector")
    }
    assert of_kind["worker"] == set(WorkerCrashPoint)
    assert of_kind["client"] == set(ClientCrashPoint)
    assert of_kind["projector"] == set(ProjectionCrashPoint) & {*all_points()}


def test_a_run_comes_to_every_point_before_it_comes_to_one_twice() -> None:
    schedule = Schedule(3, ["crash_point"])
    drawn = [schedule.next().point for _ in all_points()]
    assert sorted(str(each) for each in drawn) == sorted(all_points())
    assert not schedule.points_left
