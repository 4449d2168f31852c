"""The demo's board: where tasks stand, and the sentence about each decision."""

from __future__ import annotations

import asyncio
import io
import time

import msgspec
from rich.console import Console

from tasker_kafka.deploy.demo.board import Board
from tasker_kafka.deploy.demo.screen import Screen
from tasker_kafka.schemas.plan import Plan
from tasker_kafka.schemas.records import (
    AttemptEnded,
    Audit,
    Failure,
    RequestPlace,
    TaskClosed,
    TaskCreated,
    Transition,
    TransitionData,
    Transitions,
)
from tasker_kafka.schemas.template import Template
from tasker_kafka.schemas.words import (
    Cause,
    Identity,
    OperatorAction,
    Outcome,
    StepStatus,
    TaskStatus,
    TransitionEvent,
)
from tests.support.patience import PATIENCE_SECONDS

TASK = bytes(range(16))
PLAN = Template("pay", namespace="shop").step("charge", handler="h").step("book", handler="h").compile()
EVENT = TransitionEvent.CHANGED


def board() -> Board:
    return Board({PLAN.hash: PLAN}.get)


def created(plan: Plan = PLAN, *, tags: tuple[str, ...] = ("a story",)) -> TaskCreated:
    return TaskCreated(
        plan_hash=plan.hash,
        namespace="shop",
        name="pay",
        version="0.1.0",
        request_id=TASK,
        task_id=TASK,
        request=RequestPlace(0, 0, 0),
        context=b"{}",
        identity=Identity.ALWAYS_UNIQUE,
        initiator="",
        source_system="",
        reason="",
        tags=tags,
        correlation_id="",
        idempotency_key=None,
        requested_at=None,
        not_before=None,
        traceparent=None,
    )


def edge(step: str | None, to: TaskStatus | StepStatus, data: TransitionData | None = None) -> Transition:
    return Transition(step, EVENT, None, to, 0, Cause.RESULT, data)


def record(*transitions: Transition, at: int = 0) -> Transitions:
    return Transitions(life=0, seq=1, command_offset=0, at=at, transitions=transitions)


def begun(*, tags: tuple[str, ...] = ("a story",)) -> Transitions:
    return record(
        edge(None, TaskStatus.PENDING, created(tags=tags)),
        edge("charge", StepStatus.PENDING),
        edge("book", StepStatus.PENDING),
        edge(None, TaskStatus.IN_PROGRESS),
        edge("charge", StepStatus.ENQUEUED),
    )


def test_beginning_names_what_was_enqueued() -> None:
    change = board().take(TASK, begun())
    assert change is not None
    assert (change.label, change.text) == ("a story", "charge enqueued, task in_progress")


def test_task_without_a_tag_is_called_by_its_template() -> None:
    change = board().take(TASK, begun(tags=()))
    assert change is not None
    assert change.label == "shop/pay"


def test_failure_names_its_code() -> None:
    taken = board()
    taken.take(TASK, begun())
    failure = Failure(type="E", code="busy", message="", retryable=True)
    ended = AttemptEnded(attempt=1, outcome=Outcome.FAILURE, failure=failure)
    change = taken.take(TASK, record(edge("charge", StepStatus.WAITING_FOR_RETRY, ended)))
    assert change is not None
    assert change.text == "charge waiting_for_retry (busy)"
    assert taken.rows[TASK].remark == "charge: busy"


def test_operators_reason_becomes_the_remark() -> None:
    taken = board()
    taken.take(TASK, begun())
    audit = Audit(command_id=TASK, action=OperatorAction.RETRY_STEP, actor="ada", reason="mended")
    change = taken.take(TASK, record(edge("charge", StepStatus.PENDING, audit)))
    assert change is not None
    assert change.text == "task in_progress"
    assert taken.rows[TASK].remark == "ada: mended"


def test_records_of_other_plans_and_answers_are_left_out() -> None:
    taken = Board(dict[bytes, Plan]().get)
    assert taken.take(TASK, begun()) is None
    assert board().take(TASK, record()) is None


async def test_waiting_ends_when_the_task_is_closed() -> None:
    taken = board()
    waiting = asyncio.create_task(taken.wait_closed(TASK))
    await asyncio.sleep(0)
    taken.take(TASK, begun())
    await asyncio.sleep(0)
    assert not waiting.done()
    closed = TaskClosed(error_code="c", error_message="m")
    taken.take(TASK, msgspec.structs.replace(record(edge(None, TaskStatus.ERROR, closed)), at=7))
    await asyncio.wait_for(waiting, PATIENCE_SECONDS)
    assert taken.rows[TASK].changed_at == 7


def test_pipe_gets_one_line_per_change_without_control_codes() -> None:
    out = io.StringIO()
    taken = board()
    change = taken.take(TASK, begun())
    assert change is not None
    with Screen(Console(file=out, width=140, color_system=None), time.monotonic()) as screen:
        screen.say("begin")
        screen.show(taken, [change])
        screen.show(taken, [])
    assert [line[10:] for line in out.getvalue().splitlines()] == [
        "begin",
        f"{'a story':<24} charge enqueued, task in_progress",
    ]


def test_terminal_gets_a_table_that_is_redrawn() -> None:
    out = io.StringIO()
    taken = board()
    change = taken.take(TASK, begun())
    assert change is not None
    console = Console(file=out, width=100, force_terminal=True, color_system=None)
    with Screen(console, time.monotonic()) as screen:
        screen.show(taken, [change])
    assert "a story" in out.getvalue()
    assert "… ·" in out.getvalue()
