"""Rows are what the pure views say of the folded state: for random histories, cut into batches in any way."""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from sqlalchemy import select

from tasker_kafka.deploy.reading.folding import fold_life
from tasker_kafka.schemas.codec import codec
from tasker_kafka.schemas.plan import Plan
from tasker_kafka.schemas.records import AttemptEnded, Transitions
from tasker_kafka.schemas.state import TaskState
from tasker_kafka.streams.domain.views import coarse_task_status, execution_context
from tasker_kafka.streams.projection import Store, tables
from tasker_kafka.topics.history import AcceptedRecord
from tests.support.examples import examples
from tests.support.projected import Topic, batch_of, rows_of, task_key, writer_of
from tests.support.task_stories import next_bodies, plans
from tests.support.tasks import Rig


def told(data: st.DataObject) -> tuple[Plan, list[Transitions]]:
    """A random life of a task, as its records."""
    rig = Rig(data.draw(plans(max_steps=6)))
    rig.send(rig.start_task(tags=("x",), context=b'{"n":1}'))
    for _ in range(data.draw(st.sampled_from([1, 6, 20]))):
        for body in data.draw(next_bodies(rig)):
            rig.send(body)
    return rig.plan, [each for each in rig.records if each.seq]


def woven(data: st.DataObject, lives: Sequence[list[Transitions]]) -> Topic:
    """Several tasks' records in one partition; with repeats, and records of owners that are not in office any more."""
    topic = Topic()
    left = [list(each) for each in lives]
    while any(left):
        number = data.draw(st.sampled_from([n for n, each in enumerate(left) if each]))
        record = left[number].pop(0)
        topic.add(task_key(number), record)
        if data.draw(st.integers(0, 9)) == 0:
            topic.add(task_key(number), record, is_repeat=True)
        if data.draw(st.integers(0, 9)) == 0:
            before = topic.owner
            topic.new_owner()
            topic.add(task_key(number), replace(record, seq=record.seq + 1), owner=before)
    return topic


def cut(data: st.DataObject, count: int) -> list[tuple[int, int]]:
    """A way to cut `count` records into batches."""
    places = sorted(data.draw(st.sets(st.integers(1, max(1, count - 1)), max_size=6)) | {0, count})
    return [(a, b) for a, b in itertools.pairwise(places) if a < b]


def stored_task(store: Store, task_id: bytes) -> dict[str, Any]:
    with store.reading() as connection:
        found = select(tables.task).where(tables.task.c.task_id == task_id)
        return dict(connection.execute(found).mappings().one())


def expected_task(state: TaskState) -> dict[str, Any]:
    context = execution_context(state)
    return {
        "life": state.life,
        "seq": state.seq,
        "state": state.state.value,
        "status": coarse_task_status(state.state),
        "execution_status": context.execution_status.value,
        "recommended_action": context.recommended_action,
        "health_status": context.health_status.value,
        "completion_percentage": context.completion_percentage,
        "total_steps": context.total_steps,
        "pending_steps": context.pending_steps,
        "in_progress_steps": context.in_progress_steps,
        "completed_steps": context.completed_steps,
        "failed_steps": context.failed_steps,
        "retrying_steps": context.retrying_steps,
        "cancelled_steps": context.cancelled_steps,
        "ready_steps": context.ready_steps,
        "created_at": state.created_at,
        "started_at": state.started_at,
        "updated_at": state.now,
        "closed_at": state.closed_at,
        "next_due_at": state.next_due,
        "state_since": state.state_since,
        "is_stale": state.stale_reported,
        "error_code": state.error_code,
        "fault": None,
        "lives": 1,
    }


def expected_steps(state: TaskState, plan: Plan) -> list[tuple[Any, ...]]:
    return [
        (
            position,
            step.name,
            step.state.value,
            step.attempt,
            planned.handler,
            planned.queue,
            step.dispatched_at,
            step.started_at,
            step.completed_at,
            step.failed_at,
            step.next_retry_at,
            step.worker_id,
            None if step.failure is None else step.failure.code,
        )
        for position, (step, planned) in enumerate(zip(state.steps, plan.steps, strict=True))
    ]


def stored_steps(store: Store, task_id: bytes) -> list[tuple[Any, ...]]:
    at = tables.step.c
    names = "position step state attempt handler queue dispatched_at started_at completed_at failed_at"
    columns = [at[name] for name in [*names.split(), "next_retry_at", "worker_id", "error_code"]]
    with store.reading() as connection:
        found = select(*columns).where(at.task_id == task_id).order_by(at.position)
        return [tuple(row) for row in connection.execute(found)]


def ended(records: list[Transitions]) -> set[tuple[str | None, int, str]]:
    """Step, number and last outcome of every attempt that has ended by a result of its own."""
    found = {
        (each.step, each.data.attempt): str(each.data.outcome)
        for record in records
        for each in record.transitions
        if isinstance(each.data, AttemptEnded)
    }
    return {(step, attempt, outcome) for (step, attempt), outcome in found.items()}


@pytest.mark.slow
@settings(max_examples=examples(60))
@given(st.data())
def test_rows_are_what_the_views_say(data: st.DataObject) -> None:
    stories = [told(data) for _ in range(data.draw(st.integers(1, 3)))]
    topic = woven(data, [records for _, records in stories])
    known = [plan for plan, _ in stories]
    with tempfile.TemporaryDirectory() as folder:
        store = Store.open(Path(folder, "s.sqlite"), prefix="tasker", create=True)
        writer = writer_of(store, known)
        for begin, end in cut(data, len(topic.records)):
            if data.draw(st.booleans()):  # a process that has just started holds nothing
                writer = writer_of(store, known)
            writer.apply({topic.place: batch_of(topic.records[begin:end])})
        for number, (plan, records) in enumerate(stories):
            state = fold_life([AcceptedRecord(0, 0, each) for each in records], plan)
            row = stored_task(store, task_key(number))
            expected = expected_task(state)
            assert {name: row[name] for name in expected} == expected
            assert stored_steps(store, task_key(number)) == expected_steps(state, plan)
            at = tables.attempt.c
            with store.reading() as connection:
                held = connection.execute(
                    select(at.step, at.attempt, at.outcome).where(
                        at.task_id == task_key(number), at.outcome != "cancelled"
                    )
                )
                assert {tuple(each) for each in held} == ended(records)
        once = rows_of(store)
        replayed = writer_of(store, known)
        with store.writing() as connection:
            connection.execute(tables.position.delete())
        replayed.assign([topic.place])
        for begin, end in cut(data, len(topic.records)):
            replayed.apply({topic.place: batch_of(topic.records[begin:end])})
        assert rows_of(store) == once
        store.close()


@pytest.mark.slow
@settings(max_examples=examples(25))
@given(st.data())
def test_a_second_life_leaves_nothing_of_the_first_but_its_history(data: st.DataObject) -> None:
    first, second = told(data), told(data)
    topic = Topic()
    for record in first[1]:
        topic.add(task_key(1), record)
    for record in second[1]:
        topic.add(task_key(1), replace(record, life=10_000))
    known = [first[0], second[0]]
    with tempfile.TemporaryDirectory() as folder:
        store = Store.open(Path(folder, "s.sqlite"), prefix="tasker", create=True)
        writer = writer_of(store, known)
        for begin, end in cut(data, len(topic.records)):
            writer.apply({topic.place: batch_of(topic.records[begin:end])})
        own = [AcceptedRecord(0, 0, replace(each, life=10_000)) for each in second[1]]
        state = fold_life(own, second[0])
        row = stored_task(store, task_key(1))
        expected = expected_task(state) | {"lives": 2}
        assert {name: row[name] for name in expected} == expected
        assert stored_steps(store, task_key(1)) == expected_steps(state, second[0])
        with store.reading() as connection:
            bodies = connection.execute(select(tables.history.c.body)).scalars().all()
            lives = set(connection.execute(select(tables.attempt.c.life)).scalars())
        assert len(bodies) == len(first[1]) + len(second[1])
        assert codec.decode(bodies[0], Transitions).transitions
        assert lives <= {first[1][0].life, 10_000}
        store.close()
