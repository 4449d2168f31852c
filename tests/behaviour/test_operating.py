"""What operators may do to a task, what it answers, and how the task goes on afterwards."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

import pytest

from tasker_kafka.handlers import PermanentError, result_of
from tasker_kafka.handlers.testing import WorkflowTask, always, fail_times
from tasker_kafka.schemas.errors import CommandRejected
from tasker_kafka.schemas.identity import new_request_id
from tasker_kafka.schemas.records import Audit
from tasker_kafka.schemas.template import Lifecycle, Retry
from tasker_kafka.schemas.words import StepStatus, TaskStatus
from tests.support.behaviour import ONCE, Flow, Gate, Play
from tests.support.patience import PATIENCE_SECONDS

FAIL_ONCE = PermanentError("broken", code="broken")
WAITS = Lifecycle(on_blocked="wait")


def failed(play: Play, **options: Any) -> tuple[Flow, WorkflowTask]:
    """A task in which `bad` failed (and would succeed now), `next` waits for it, and `done` is complete."""
    flow = play.flow(**options).step("bad", fail_times(1, then="good"), retry=ONCE)
    flow.step("next", after=["bad"]).step("done")
    task = flow.submit()
    task.wait_until(lambda seen: seen.state in {TaskStatus.BLOCKED_BY_FAILURES, TaskStatus.ERROR})
    return flow, task


def running(play: Play) -> tuple[Flow, Gate, WorkflowTask]:
    """A task whose handler `held` is running; `next` waits for it."""
    gate = Gate("held")
    flow = play.flow().step("held", gate.handler).step("next", after=["held"])
    task = flow.submit()
    flow.wait_handled("held")
    return flow, gate, task


def test_retry_of_a_task_gives_a_new_budget_and_never_repeats_a_number(play: Play) -> None:
    _, task = failed(play)
    answer = task.retry(reason="card limit raised", actor="ada")
    assert answer is not None
    assert answer.code == "accepted"
    result = task.wait().assert_complete()
    assert [attempt.number for attempt in result.steps["bad"].attempts] == [1, 2]
    audits = [each.data for each in result.transitions if isinstance(each.data, Audit)]
    assert {(audit.actor, audit.reason) for audit in audits} == {("ada", "card limit raised")}
    assert TaskStatus.ERROR in result.states


def test_retry_of_one_step_leaves_the_other_failed(play: Play) -> None:
    flow = play.flow(lifecycle=WAITS)
    flow.step("a", fail_times(1), retry=ONCE).step("b", fail_times(1), retry=ONCE)
    task = flow.submit()
    task.wait_until(TaskStatus.BLOCKED_BY_FAILURES)
    task.retry("a")
    task.wait_until(lambda seen: seen.finished_steps == ("a",))
    assert task.result().steps["b"].state is StepStatus.ERROR
    task.retry("b")
    task.wait().assert_complete()


def test_resolve_of_a_step_counts_as_done_and_gives_its_children_none(play: Play) -> None:
    async def take(before: Annotated[str | None, result_of("bad")]) -> list[Any]:
        return ["took", before]

    flow = play.flow().step("bad", always(FAIL_ONCE)).step("next", take, after=["bad"])
    task = flow.submit()
    task.wait().assert_state(TaskStatus.ERROR)
    task.resolve("bad")
    result = task.wait().assert_complete()
    assert result.steps["bad"].state is StepStatus.RESOLVED_MANUALLY
    assert result.output == {"next": ["took", None]}


def test_a_child_that_needs_the_result_of_a_resolved_parent_fails_with_the_way_out(play: Play) -> None:
    async def take(before: Annotated[str, result_of("bad")]) -> str:
        return before

    flow = play.flow().step("bad", always(FAIL_ONCE)).step("next", take, after=["bad"])
    task = flow.submit()
    task.wait()
    task.resolve("bad")
    task.wait_until(lambda seen: "next" in seen.errors)
    assert "bad" in task.result().errors["next"].message
    task.complete_step("next", "by hand")
    assert task.wait().assert_complete().output == {"next": "by hand"}


def test_a_step_completed_by_hand_has_a_result_that_is_used_downstream(play: Play) -> None:
    async def take(before: Annotated[dict[str, int], result_of("bad")]) -> int:
        return before["amount"] + 1

    flow = play.flow().step("bad", always(FAIL_ONCE)).step("next", take, after=["bad"])
    task = flow.submit()
    task.wait().assert_state(TaskStatus.ERROR)
    task.complete_step("bad", {"amount": 41}, actor="ada")
    assert task.wait().assert_complete().output == {"next": 42}


def test_a_large_result_by_hand(play: Play) -> None:
    async def measure(before: Annotated[str, result_of("bad")]) -> int:
        return len(before)

    flow = play.flow().step("bad", always(FAIL_ONCE)).step("next", measure, after=["bad"])
    task = flow.submit()
    task.wait()
    task.complete_step("bad", "x" * 50_000)
    assert task.wait().assert_complete().output == {"next": 50_000}


def test_a_step_that_has_not_begun_may_be_completed(play: Play) -> None:
    flow, gate, task = running(play)
    task.complete_step("next", "early")
    gate.open()
    assert task.wait().assert_complete().output == {"next": "early"}
    assert flow.handled("next") == []


def test_a_running_step_cannot_be_completed_before_it_is_cancelled(play: Play) -> None:
    _, gate, task = running(play)
    with pytest.raises(CommandRejected, match="cancel_step") as caught:
        task.complete_step("held", "by hand")
    assert caught.value.code == "forbidden"
    task.cancel("held")
    task.complete_step("held", "by hand")
    assert task.wait().assert_complete().steps["held"].result == "by hand"
    gate.open()


def test_resolve_of_a_task_ends_it(play: Play) -> None:
    _, task = failed(play)
    task.resolve(reason="settled by phone")
    task.result().assert_state(TaskStatus.RESOLVED_MANUALLY)
    with pytest.raises(CommandRejected, match="resolved_manually"):
        task.retry()


def test_a_task_that_runs_cannot_be_resolved(play: Play) -> None:
    _, gate, task = running(play)
    with pytest.raises(CommandRejected, match="in_progress"):
        task.resolve()
    gate.open()
    task.wait().assert_complete()


def test_cancel_of_a_task_stops_its_handlers_and_its_late_result_changes_nothing(play: Play) -> None:
    stopped: list[str] = []

    async def endless() -> str:
        try:
            await asyncio.sleep(600)
        except asyncio.CancelledError:
            stopped.append("endless")
        return "too late"

    flow = play.flow().step("held", endless).step("next", after=["held"]).step("done")
    task = flow.submit()
    task.wait_until(lambda seen: seen.finished_steps == ("done",))
    flow.wait_handled("held")
    task.cancel(reason="customer changed their mind")
    play.workflow.wait_until(
        lambda: stopped == ["endless"], timeout=PATIENCE_SECONDS
    )  # long before its own timeout
    result = task.advance(0.2).assert_state(TaskStatus.CANCELLED)
    states = {name: step.state for name, step in result.steps.items()}
    assert states == {"held": "cancelled", "next": "cancelled", "done": "complete"}


def test_cancel_of_a_step_blocks_the_task_until_somebody_helps(play: Play) -> None:
    flow, _, task = running(play)
    task.cancel("held")
    result = task.wait().assert_state(TaskStatus.ERROR)
    assert result.steps["next"].state is StepStatus.PENDING
    assert result.closed is not None
    assert "held" in result.closed.error_message
    flow.replace("held", always("second try"))
    task.retry("held")
    assert task.wait().assert_complete().steps["held"].result == "second try"


def test_set_max_attempts_gives_a_step_further_attempts(play: Play) -> None:
    gate = Gate()
    calls: list[int] = []

    async def flaky() -> str:
        calls.append(1)
        await gate.handler()
        if len(calls) < 3:
            raise RuntimeError("again")
        return "done"

    flow = play.flow().step("one", flaky, retry=Retry(max_attempts=1, backoff="none"))
    task = flow.submit()
    flow.wait_handled("one")
    task.set_max_attempts("one", 3)
    gate.open()
    assert len(task.wait().assert_complete().steps["one"].attempts) == 3


def test_reason_and_tags_of_a_task_can_be_changed(play: Play) -> None:
    _, gate, task = running(play)
    task.set_reason("audit")
    task.set_tags(["vip", "eu"])
    result = task.result()
    assert (result.reason, result.tags) == ("audit", ("vip", "eu"))
    gate.open()
    task.wait().assert_complete()


def test_the_same_command_twice_is_one_command(play: Play) -> None:
    _, gate, task = running(play)
    command_id = new_request_id(play.workflow.now_ms)
    task.set_tags(["first"], command_id=command_id)
    task.set_tags(["again"], command_id=command_id)
    gate.open()
    assert task.wait().assert_complete().tags == ("first",)


def test_what_is_reached_already_is_said_and_changes_nothing(play: Play) -> None:
    flow = play.flow(lifecycle=WAITS).step("bad", always(FAIL_ONCE)).step("other", always(FAIL_ONCE))
    task = flow.submit()
    task.wait_until(TaskStatus.BLOCKED_BY_FAILURES)
    task.resolve("bad")
    before = len(task.result().transitions)
    answer = task.resolve("bad")
    assert answer is not None
    assert answer.code == "already_resolved_manually"
    assert len(task.result().transitions) == before
    task.cancel()


REFUSED = [
    ("unknown_step", lambda task: task.retry("nobody")),
    ("forbidden", lambda task: task.retry("done")),
    ("seq_mismatch", lambda task: task.retry(expected_seq=1)),
    ("unknown_task", lambda task: task.retry(life=1_000_000)),
    ("invalid", lambda task: task.set_tags(["x"] * 1000)),
]


@pytest.mark.parametrize(("code", "command"), REFUSED, ids=[code for code, _ in REFUSED])
def test_what_cannot_be_done_is_refused_with_the_reason(play: Play, code: str, command: Any) -> None:
    _, task = failed(play, lifecycle=WAITS)
    before = task.result().transitions
    with pytest.raises(CommandRejected) as caught:
        command(task)
    assert caught.value.code == code
    assert task.result().transitions == before
    task.retry()
    task.wait().assert_complete()


def test_nothing_may_be_done_to_a_final_task(play: Play) -> None:
    task = play.flow().step("one").submit()
    task.wait().assert_complete()
    with pytest.raises(CommandRejected, match="complete") as caught:
        task.cancel()
    assert caught.value.code == "final_task"
