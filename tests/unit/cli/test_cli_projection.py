"""`tasker projection` on a log in memory: a store is made, asked how far it is, and made anew."""

from __future__ import annotations

import asyncio
import importlib.util
from pathlib import Path
from typing import Any

import pytest

from tasker_kafka.schemas.records import OWNER_KEY
from tasker_kafka.streams.projection import Reads, Store, TaskQuery
from tasker_kafka.topics.log import TopicPartition, Write
from tasker_kafka.topics.memory import MemoryCluster
from tests.support.lane_world import LaneWorld, plan_of
from tests.unit.cli.conftest import Tasker


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the store is, by the settings' default."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setenv("TASKER_PROJECTION__RETENTION_HOURS", "0")
    return tmp_path / "tasker-kafka" / "tasker" / "projection.sqlite"


@pytest.fixture
def cluster() -> MemoryCluster:
    """With two finished tasks, and a record that is none."""

    async def work() -> MemoryCluster:
        world = await LaneWorld(plan_of()).open()
        owner = await world.owner()
        for _ in range(2):
            await world.start(world.published[0])
        await world.settle(owner)
        place = TopicPartition(world.names.transitions, 0)
        last = next(each for each in world.records(place.topic) if each.key != OWNER_KEY)
        await world.outbox.write(Write(place.topic, bytes(16), b"damaged", last.headers, partition=0))
        return world.cluster

    return asyncio.run(work())


def counts(path: Path) -> dict[Any, int]:
    store = Store.open(path, prefix="tasker")
    try:
        return asyncio.run(Reads(store).counts(TaskQuery()))
    finally:
        store.close()


def test_without_a_store_it_says_how_to_get_one(tasker: Tasker, path: Path) -> None:
    ran = tasker("projection", "status")
    assert ran.code == 78
    assert "there is no projection" in ran.err
    assert "tasker projection run" in ran.err


def test_made_anew_it_is_whole_and_says_what_it_passed(tasker: Tasker, path: Path) -> None:
    made = tasker("projection", "rebuild", "--json")
    assert made.code == 0, made.err
    assert made.json["faults"] == 1
    assert counts(path) == {"complete": 2}
    status = tasker("projection", "status", "--json", "--max-seconds", "0")
    assert status.code == 0
    assert status.json["store"] == str(path)
    assert (status.json["records_behind"], status.json["seconds_behind"]) == (0, 0.0)
    assert [each["topic"] for each in status.json["faults"]] == ["tasker.transitions.v1"]
    shown = tasker("projection", "status")
    assert "0 records, 0.0 s behind" in shown.out
    assert "records that could not be projected" in shown.out


def test_behind_it_says_how_far_and_fails_where_that_is_asked(tasker: Tasker, path: Path) -> None:
    Store.open(path, prefix="tasker", create=True).close()
    ran = tasker("projection", "status", "--json", "--max-seconds", "0")
    assert ran.code == 1
    assert ran.json["records_behind"] > 5
    assert ran.json["seconds_behind"] > 0
    assert tasker("projection", "status").code == 0


def test_in_place_it_is_the_same(tasker: Tasker, path: Path) -> None:
    Store.open(path, prefix="tasker", create=True).close()
    ran = tasker("projection", "rebuild", "--in-place")
    assert ran.code == 0, ran.err
    assert "records in" in ran.out
    assert "could not be projected" in ran.err
    assert counts(path) == {"complete": 2}


def test_without_the_extra_it_says_what_to_install(
    tasker: Tasker, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: None if name == "sqlalchemy" else find(name, *rest)
    )
    for command in (["status"], ["rebuild"], ["run"]):
        ran = tasker("projection", *command)
        assert ran.code == 78
        assert "pip install 'tasker-kafka[console]'" in ran.err
