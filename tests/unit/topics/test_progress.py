"""What a caller learns of a task does not depend on when it began to look."""

from __future__ import annotations

import msgspec

from tasker_kafka.schemas.codec import codec, encode
from tasker_kafka.schemas.records import Audit, Transition, Transitions
from tasker_kafka.schemas.words import Cause, OperatorAction, StepStatus, TaskStatus, TransitionEvent
from tasker_kafka.topics.log import Record
from tasker_kafka.topics.names import TopicNames
from tasker_kafka.topics.progress import TaskProgress, TaskSnapshot
from tests.support.client_scene import step_edge, task_edge
from tests.support.task_created import created

NAMES = TopicNames("shop")
TASK = bytes(range(16))


def record(offset: int, *edges: Transition) -> Record:
    decided = Transitions(life=5, seq=offset, command_offset=offset, at=0, transitions=edges)
    return Record(NAMES.transitions, 0, offset, 0, TASK, encode(decided))


CREATED = record(1, task_edge(TransitionEvent.INITIALIZE_REQUESTED, None, TaskStatus.PENDING, created(TASK)))
STARTED = record(2, task_edge(TransitionEvent.START_REQUESTED, TaskStatus.PENDING, TaskStatus.IN_PROGRESS))
DONE = record(3, task_edge(TransitionEvent.ALL_STEPS_DONE, TaskStatus.IN_PROGRESS, TaskStatus.COMPLETE))


def progress(*records: Record) -> TaskProgress:
    found = TaskProgress(TASK, NAMES, codec)
    for each in records:
        found.take(each)
    return found


def state_of(found: TaskProgress) -> TaskStatus | None:
    return found.snapshot().state


def test_older_records_are_read_before_newer_ones_that_have_come() -> None:
    found = progress()
    found.hold()
    found.take(DONE)
    for older in (CREATED, STARTED, DONE):
        found.take_now(older)
    found.release()
    assert state_of(found) is TaskStatus.COMPLETE
    found = progress()
    found.hold()
    found.take(DONE)
    found.take_now(CREATED)
    assert state_of(found) is TaskStatus.PENDING
    found.release()
    assert state_of(found) is TaskStatus.COMPLETE


def test_records_that_come_twice_change_nothing() -> None:
    assert state_of(progress(CREATED, DONE, STARTED, CREATED)) is TaskStatus.COMPLETE


def test_a_new_life_begins_anew() -> None:
    again = msgspec.structs.replace(codec.decode(CREATED.value, Transitions), life=9, command_offset=9)
    found = progress(CREATED, DONE, msgspec.structs.replace(CREATED, offset=9, value=encode(again)))
    assert (state_of(found), found.snapshot().life) == (TaskStatus.PENDING, 9)


def test_a_change_of_a_done_step_keeps_its_result() -> None:
    audit = Audit(
        command_id=TASK, action=OperatorAction.SET_MAX_ATTEMPTS, actor="", reason="", max_attempts=5
    )
    by_hand = Audit(command_id=TASK, action=OperatorAction.COMPLETE_STEP, actor="", reason="", result=b"1")
    done, pending = StepStatus.COMPLETE, StepStatus.PENDING
    change = Transition("pay", TransitionEvent.CHANGED, done, done, 0, Cause.OPERATOR, audit)
    found = progress(CREATED, record(2, step_edge("pay", pending, done, by_hand)), record(3, change))
    assert found.snapshot().results == {"pay": b"1"}


def test_an_undecodable_record_ends_the_wait() -> None:
    found = progress(CREATED, Record(NAMES.transitions, 0, 2, 0, TASK, b"noise"))
    assert found.is_ended
    assert found.failure is not None


def test_a_failure_names_what_is_known() -> None:
    text = str(TaskSnapshot(task_id=TASK, state=TaskStatus.CANCELLED).failure())
    assert text.startswith("task 00010203-0405-0607-0809-0a0b0c0d0e0f ended as cancelled\n")
