"""What is read off the log, the broker's folder and the roles' lines."""

from __future__ import annotations

from pathlib import Path

import pytest

from tasker_kafka.schemas.codec import codec
from tasker_kafka.schemas.records import TaskRequest
from tests.bench.checkpoints import LogTail, Saved, saved_in
from tests.bench.disk import grown, log_bytes
from tests.bench.requests import RequestMaker
from tests.bench.shapes import SHAPES, plans
from tests.bench.window import Closings


def test_a_request_made_from_the_pattern_is_the_request_that_was_meant() -> None:
    plan = plans()["chain-5"]
    first, second = RequestMaker(plan, "requests", bypass_steps=("step_1",)).make(2)
    assert first.key != second.key
    for write in (first, second):
        assert codec.decode(write.value, TaskRequest) == TaskRequest(
            name=plan.name, context=b"{}", request_id=write.key, bypass_steps=("step_1",)
        )


@pytest.mark.parametrize("shape", SHAPES)
def test_a_task_is_closed_with_its_start_and_one_record_per_step(shape: str) -> None:
    plan = plans()[shape]
    closings, one, other = Closings(plan), bytes(16), bytes([1]) * 16
    for _ in plan.steps:
        assert not closings.take(one)
        assert not closings.take(other)
        assert not closings.take(b"tasker:owner")
    assert closings.take(one)
    assert closings.take(other)
    assert not closings.take(b"tasker:owner"), "as many owner markers are no task"
    assert not closings.take(one), "another life is counted from the beginning"


def test_only_segments_count_and_not_the_metadata(tmp_path: Path) -> None:
    for topic, file, size in [
        ("a.commands.v1-0", "00000000000000000000.log", 100),
        ("a.commands.v1-1", "00000000000000000000.log", 50),
        ("a.commands.v1-1", "00000000000000000090.log", 7),
        ("a.commands.v1-1", "00000000000000000000.index", 10_000),
        ("__consumer_offsets-0", "00000000000000000000.log", 9),
        ("__cluster_metadata-0", "00000000000000000000.log", 4_000),
    ]:
        (tmp_path / topic).mkdir(exist_ok=True)
        (tmp_path / topic / file).write_bytes(bytes(size))
    assert log_bytes(tmp_path) == {"a.commands.v1": 157, "__consumer_offsets": 9}


def test_growth_is_by_topic_and_never_negative() -> None:
    assert grown({"a": 10, "b": 10}, {"a": 15, "b": 4, "c": 3}) == {"a": 5, "b": 0, "c": 3}


def test_checkpoints_are_found_among_other_lines(tmp_path: Path) -> None:
    file = tmp_path / "orchestrator-0.log"
    line = '{"message": "partition 2: saved up to command 812, 31 states in 12.5 ms, age 312.0 ms"}\n'
    file.write_text("before: " + line)
    tail = LogTail([file])
    with file.open("a") as stream:
        stream.write("owns partitions [0, 1]\n" + line)
    assert saved_in(tail.lines()) == [Saved(31, 12.5, 312.0)]
