"""What a writer holds in memory is bounded by what it weighs, whatever happens to the tasks."""

from __future__ import annotations

import json
from typing import Any

import pytest
from msgspec.structs import replace

from tasker_kafka.streams.projection import Store, held_folds
from tasker_kafka.streams.projection.writer import Writer
from tests.support.projected import PLACE, TWO_STEPS, Topic, added, batch_of, rows_of, task_key, writer_of
from tests.support.tasks import Rig


def held(writer: Writer) -> dict[bytes, Any]:
    folds = writer._held._folds
    assert writer._held._weight == sum(each.weight for each in folds.values())
    return folds


def test_large_contexts_weigh(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(held_folds, "_MOST_WEIGHT", 33)
    context = json.dumps({"text": "x" * 3_500}).encode()
    topic = Topic()
    for number in range(1, 5):
        added(topic, number, plan=TWO_STEPS, context=context)
        added(topic, number + 10, plan=TWO_STEPS)
    writer = writer_of(store, [TWO_STEPS])
    for record in topic.records:
        writer.apply({PLACE: batch_of([record])})
    assert sum(each.weight for each in held(writer).values()) <= 33
    assert task_key(14) in held(writer), "the newest stay"
    assert task_key(1) not in held(writer)
    assert len(rows_of(store)["task"]) == 8


def test_new_lives_of_a_held_task_weigh_no_more_than_one(store: Store) -> None:
    rig = Rig(TWO_STEPS)
    rig.start()
    rig.succeed("a", "b")
    topic = Topic()
    writer = writer_of(store, [TWO_STEPS])
    for life in range(1, 6):
        for record in rig.records:
            topic.add(task_key(1), replace(record, life=life))
    for begin in range(0, len(topic.records), 3):
        writer.apply({PLACE: batch_of(topic.records[begin : begin + 3])})
    topic.add(task_key(1), replace(rig.records[-1], life=9))
    writer.apply({PLACE: batch_of(topic.records[-1:])})
    assert list(held(writer)) == [task_key(1)]
    assert writer._held._weight <= 4
    assert held(writer)[task_key(1)].lives == 6
