"""The reconciler: what it finds, and what its commands do. A healthy task gives it nothing to do."""

import msgspec
import pytest

from tasker_kafka.schemas.records import Command, Reconcile
from tasker_kafka.schemas.state import TaskState
from tasker_kafka.schemas.words import StepStatus, TaskStatus, TimerKind
from tasker_kafka.streams.domain import Decision, IgnoredReason, Moment, decide, findings
from tasker_kafka.streams.domain.reconcile import EVALUATE, OVERDUE_MS, REDISPATCH, REDISPATCH_AFTER_MS
from tests.support.tasks import CHAIN, PAIR, TASK_ID, Rig, plan_of


def damaged(rig: Rig) -> TaskState:
    """The task as it would be had a decision forgotten to dispatch step `a`."""
    state = rig.live
    first = msgspec.structs.replace(state.steps[0], state=StepStatus.PENDING, attempt=0, dispatched_at=None)
    steps = (first, *state.steps[1:])
    return msgspec.structs.replace(
        state, steps=steps, ready=(0,), pending=state.pending + 1, enqueued=state.enqueued - 1
    )


def started_rig() -> Rig:
    """A chain whose first step is dispatched."""
    rig = Rig(plan_of(CHAIN))
    rig.start()
    return rig


def evaluate(life: int) -> Reconcile:
    """A command to look again."""
    return Reconcile(life=life, kind=EVALUATE)


def test_a_healthy_task_gives_nothing_to_do() -> None:
    rig = started_rig()
    assert findings(rig.live, rig.plan, rig.now) == []
    assert rig.ignored(evaluate(rig.life)) is IgnoredReason.NOTHING_TO_DO
    rig.fail("a")
    assert findings(rig.live, rig.plan, rig.now) == []
    assert rig.ignored(evaluate(rig.life)) is IgnoredReason.NOTHING_TO_DO
    rig.fire()
    rig.fail("a", retryable=False)
    assert rig.status() is TaskStatus.ERROR
    assert findings(rig.live, rig.plan, rig.now + 10**12) == []


def test_ready_and_undispatched_is_evaluated() -> None:
    rig = started_rig()
    state = damaged(rig)
    assert findings(state, rig.plan, rig.now) == [evaluate(state.life)]
    command = Command(TASK_ID, evaluate(state.life))
    decided = decide(state, command, Moment(0, 500, rig.now, rig.plan))
    assert isinstance(decided, Decision)
    assert [(each.step, each.event) for each in decided.record.transitions] == [("a", "enqueue_requested")]


def test_steps_held_back_are_no_finding() -> None:
    rig = Rig(plan_of(PAIR, max_parallel_steps=1))
    rig.start()
    assert rig.live.ready == (1,)
    assert findings(rig.live, rig.plan, rig.now) == []


@pytest.mark.parametrize("status", [TaskStatus.WAITING_FOR_RETRY, TaskStatus.WAITING_FOR_DEPENDENCIES])
def test_a_task_that_rests_elsewhere_than_its_counters_say_is_evaluated(status: TaskStatus) -> None:
    rig = started_rig()
    state = msgspec.structs.replace(rig.live, state=status)
    assert findings(state, rig.plan, rig.now) == [evaluate(state.life)]
    command = Command(TASK_ID, evaluate(state.life))
    decided = decide(state, command, Moment(0, 500, rig.now, rig.plan))
    assert isinstance(decided, Decision)
    assert isinstance(decided.state, TaskState)
    assert decided.state.state is TaskStatus.IN_PROGRESS


def test_a_timer_that_should_have_fired_long_ago_is_written_again() -> None:
    rig = started_rig()
    rig.fail("a")
    due = rig.next_due()
    assert due is not None
    assert findings(rig.live, rig.plan, due + OVERDUE_MS - 1) == []
    (timer,) = findings(rig.live, rig.plan, due + OVERDUE_MS)
    assert timer.kind == TimerKind.RETRY
    rig.now = due + OVERDUE_MS
    rig.do(timer)
    assert rig.steps()["a"] == "enqueued"


def test_a_silent_handler_is_found_by_its_heartbeats() -> None:
    rig = started_rig()
    rig.report("a")
    late = rig.now + 30_000 + OVERDUE_MS
    assert [each.kind for each in findings(rig.live, rig.plan, late)] == [TimerKind.HEARTBEAT]
    beating = {("a", 1): late}
    assert findings(rig.live, rig.plan, late, beating) == []
    later = late + 30_000
    assert [each.kind for each in findings(rig.live, rig.plan, later, beating)] == [TimerKind.RUN_TIMEOUT]


def test_an_old_dispatch_is_sent_again_as_the_same_attempt() -> None:
    rig = started_rig()
    first = rig.dispatches[0]
    old = rig.now + REDISPATCH_AFTER_MS
    assert findings(rig.live, rig.plan, old - 1) == []
    (wish,) = findings(rig.live, rig.plan, old)
    assert wish == Reconcile(life=rig.life, kind=REDISPATCH, step="a", attempt=1)
    rig.now = old
    rig.do(wish)
    assert rig.edges() == [("a", "redispatched", "enqueued")]
    (again,) = rig.last.dispatches
    assert again == msgspec.structs.replace(first, dispatched_at=rig.now)
    assert findings(rig.live, rig.plan, rig.now) == []
    rig.succeed("a")


@pytest.mark.parametrize(
    ("step", "attempt", "reason"),
    [
        ("a", 2, "nothing_to_do"),
        ("b", 0, "nothing_to_do"),
        ("zz", 1, "unknown_step"),
        (None, 1, "unknown_step"),
    ],
)
def test_redispatches_that_do_not_fit_are_ignored(step: str | None, attempt: int, reason: str) -> None:
    rig = started_rig()
    wish = Reconcile(life=rig.life, kind=REDISPATCH, step=step, attempt=attempt)
    assert rig.ignored(wish) == reason
    assert rig.ignored(Reconcile(life=rig.life, kind="?")) == "nothing_to_do"


def test_a_running_attempt_is_not_sent_again() -> None:
    rig = started_rig()
    rig.report("a")
    wish = Reconcile(life=rig.life, kind=REDISPATCH, step="a", attempt=1)
    assert rig.ignored(wish) == "nothing_to_do"
