"""Timers: derived from the state, accepted only while they fit; duplicates and late ones are harmless."""

from collections.abc import Mapping
from typing import Any

import msgspec
import pytest

from tasker_kafka.schemas.records import Dispatch, TimerDue
from tasker_kafka.schemas.words import (
    Cause,
    OperatorAction,
    Outcome,
    StepStatus,
    TaskStatus,
    TimerKind,
    TransitionEvent,
)
from tasker_kafka.streams.domain import IgnoredReason, due_timers, next_due
from tests.support.tasks import CHAIN, ONE, PAIR, Rig, plan_of

STEP_KINDS = (TimerKind.RETRY, TimerKind.QUEUE_TIMEOUT, TimerKind.RUN_TIMEOUT, TimerKind.HEARTBEAT)


def started_rig(edges: Mapping[str, tuple[str, ...]] = ONE, **fields: Any) -> Rig:
    """A started task; one step unless told."""
    rig = Rig(plan_of(edges, **fields))
    rig.start()
    return rig


def timer(rig: Rig, kind: TimerKind, **fields: Any) -> TimerDue:
    """A timer of step `a`'s newest attempt (or of the task), due now."""
    given: dict[str, Any] = {"life": rig.life, "kind": kind, "due_at": rig.now}
    if kind in STEP_KINDS:
        given |= {"step": "a", "attempt": rig.step("a").attempt}
    return TimerDue(**{**given, **fields})


def test_a_fresh_dispatch_has_no_timer() -> None:
    rig = started_rig()
    assert rig.next_due() is None
    rig.now += 10**9
    for kind in TimerKind:
        assert rig.ignored(timer(rig, kind)) is IgnoredReason.NOT_DUE
    rig.succeed("a")
    assert rig.status() is TaskStatus.COMPLETE, "an outage burned no attempt"


def test_timers_of_other_lives_steps_and_attempts_do_not_fit() -> None:
    rig = started_rig(steps={"a": {"queue_timeout_ms": 2000}})
    rig.now += 5000
    fits = timer(rig, TimerKind.QUEUE_TIMEOUT)
    assert rig.ignored(msgspec.structs.replace(fits, life=fits.life + 1)) is IgnoredReason.OTHER_LIFE
    assert rig.ignored(msgspec.structs.replace(fits, step="zz")) is IgnoredReason.UNKNOWN_STEP
    assert rig.ignored(msgspec.structs.replace(fits, step=None)) is IgnoredReason.UNKNOWN_STEP
    assert rig.ignored(msgspec.structs.replace(fits, attempt=2)) is IgnoredReason.NOT_DUE
    rig.do(fits)
    assert rig.ignored(fits) is IgnoredReason.NOT_DUE


# ------------------------------------------------------------------------------------------------- retry


def test_a_retry_is_due_when_its_time_has_come_and_not_before() -> None:
    rig = started_rig()
    rig.fail("a")
    due = rig.next_due()
    assert due == rig.step("a").next_retry_at
    assert due is not None
    assert rig.ignored(timer(rig, TimerKind.RETRY), after_ms=due - rig.now - 1) is IgnoredReason.NOT_DUE
    assert rig.timers(due - 1) == []
    assert rig.timers(due) == [TimerDue(life=rig.life, kind=TimerKind.RETRY, due_at=due, step="a", attempt=1)]
    rig.do(timer(rig, TimerKind.RETRY), after_ms=1)
    assert rig.steps() == {"a": "enqueued"}
    assert rig.transition(TransitionEvent.RETRY_REQUESTED).cause is Cause.TIMER
    assert rig.next_due() is None


def test_when_the_earliest_timer_is_gone_the_next_one_counts() -> None:
    rig = started_rig(PAIR, lifecycle={"max_duration_ms": 500_000})
    deadline = rig.next_due()
    rig.fail("a", retry_after_ms=50_000)
    first = rig.next_due()
    rig.fail("b", retry_after_ms=90_000)
    assert rig.next_due() == first == rig.step("a").next_retry_at
    rig.fire()
    assert rig.next_due() == rig.step("b").next_retry_at
    rig.fire()
    assert rig.next_due() == deadline


# ----------------------------------------------------------------------------------------- queue timeout


def test_a_queue_timeout_is_a_counted_failure() -> None:
    rig = started_rig(steps={"a": {"queue_timeout_ms": 2000}})
    dispatched = rig.now
    dispatch: Dispatch = rig.dispatches[0]
    assert dispatch.queue_deadline == rig.next_due() == dispatched + 2000
    assert rig.ignored(timer(rig, TimerKind.QUEUE_TIMEOUT), after_ms=1999) is IgnoredReason.NOT_DUE
    rig.do(timer(rig, TimerKind.QUEUE_TIMEOUT), after_ms=1)
    assert rig.edges() == [
        ("a", "timed_out", "waiting_for_retry"),
        (None, "retry_backoff_started", "waiting_for_retry"),
    ]
    failure = rig.data(TransitionEvent.TIMED_OUT).failure
    assert (failure.code, failure.retryable) == ("queue_timeout", True)
    assert rig.step("a").next_retry_at == dispatched + 2000 + 2000


def test_the_last_queue_timeout_ends_the_step() -> None:
    rig = started_rig(steps={"a": {"queue_timeout_ms": 2000}})
    for _ in range(5):
        rig.fire()
    assert rig.edges()[0] == ("a", "timed_out", "error")
    assert [each.attempt for each in rig.dispatches] == [1, 2, 3]
    assert rig.status() is TaskStatus.ERROR


# ------------------------------------------------------------------------------- run timeout, heartbeats


def test_a_run_timeout_counts_from_the_reported_start() -> None:
    rig = started_rig(steps={"a": {"timeout_ms": 10_000}})
    rig.report("a")
    started = rig.step("a").started_at
    assert started is not None
    assert rig.next_due() == started + 10_000
    rig.now = started
    assert rig.ignored(timer(rig, TimerKind.RUN_TIMEOUT), after_ms=9999) is IgnoredReason.NOT_DUE
    rig.do(timer(rig, TimerKind.RUN_TIMEOUT), after_ms=1)
    failure = rig.data(TransitionEvent.RETRY_BACKOFF_STARTED, "a").failure
    assert (failure.code, failure.retryable) == ("timeout", True)
    assert rig.step("a").base == 0, "counted"


def test_heartbeats_do_not_extend_the_run_timeout() -> None:
    rig = started_rig(steps={"a": {"timeout_ms": 50_000}})
    rig.report("a")
    started = rig.step("a").started_at
    assert started is not None
    beating = {("a", 1): started + 45_000}
    assert next_due(rig.live, rig.plan) == started + 30_000
    assert next_due(rig.live, rig.plan, beating) == started + 50_000
    assert due_timers(rig.live, rig.plan, started + 49_999, beating) == []
    (due,) = due_timers(rig.live, rig.plan, started + 50_000, beating)
    assert due.kind is TimerKind.RUN_TIMEOUT


def test_silence_loses_the_attempt_uncounted_and_the_next_follows_at_once() -> None:
    rig = started_rig()
    rig.report("a")
    started = rig.step("a").started_at
    assert started is not None
    (due,) = due_timers(rig.live, rig.plan, started + 40_000, {("a", 1): started + 5000})
    assert (due.kind, due.due_at) == (TimerKind.HEARTBEAT, started + 35_000)
    rig.now = started + 40_000
    rig.do(due)
    assert rig.edges() == [("a", "lost", "pending"), ("a", "enqueue_requested", "enqueued")]
    assert (rig.step("a").attempt, rig.step("a").base, rig.step("a").losses) == (2, 1, 1)
    failure = rig.step("a").failure
    assert failure is not None
    assert failure.code == "worker_lost"


@pytest.mark.parametrize(("due_at", "after_ms"), [(29_999, 60_000), (60_001, 60_000)])
def test_silence_is_neither_too_short_nor_in_the_future(due_at: int, after_ms: int) -> None:
    rig = started_rig()
    rig.report("a")
    started = rig.step("a").started_at
    assert started is not None
    rig.now = started
    early = timer(rig, TimerKind.HEARTBEAT, due_at=started + due_at)
    assert rig.ignored(early, after_ms=after_ms) is IgnoredReason.NOT_DUE


def test_heartbeats_of_an_older_attempt_do_not_count() -> None:
    rig = started_rig()
    rig.report("a")
    started = rig.step("a").started_at
    assert started is not None
    assert next_due(rig.live, rig.plan, {("a", 0): started + 10**6}) == started + 30_000
    assert next_due(rig.live, rig.plan, {("a", 1): started - 10**6}) == started + 30_000


# ---------------------------------------------------------------------------------------------- deadline


def test_the_deadline_ends_what_runs_and_keeps_what_is_pending() -> None:
    shape = {"a": (), "b": (), "c": (), "d": ("a",), "e": ()}
    rig = started_rig(shape, lifecycle={"max_duration_ms": 20_000})
    started = rig.now
    rig.report("b")
    rig.fail("c", retry_after_ms=10_000)
    rig.succeed("e")
    assert rig.next_due() == rig.step("c").next_retry_at
    deadline = timer(rig, TimerKind.DEADLINE)
    rig.now = started
    assert rig.ignored(deadline, after_ms=19_999) is IgnoredReason.NOT_DUE
    (only,) = rig.timers(started + 20_000)
    assert only.kind is TimerKind.DEADLINE, "it ends everything else"
    rig.do(deadline, after_ms=1)
    assert rig.edges() == [
        ("a", "cancelled", "cancelled"),
        ("b", "cancelled", "cancelled"),
        ("c", "cancelled", "cancelled"),
        (None, "deadline_exceeded", "error"),
    ]
    assert rig.steps() == {
        "a": "cancelled",
        "b": "cancelled",
        "c": "cancelled",
        "d": "pending",
        "e": "complete",
    }
    assert [(each.step, each.attempt, each.reason) for each in rig.last.cancellations] == [
        ("a", 1, "deadline_exceeded"),
        ("b", 1, "deadline_exceeded"),
    ]
    closed = rig.data(TransitionEvent.DEADLINE_EXCEEDED)
    assert closed.error_code == rig.live.error_code == "deadline_exceeded"
    assert closed.failed_steps == ("a", "b", "c", "d")
    assert rig.next_due() is None


def test_the_deadline_counts_from_the_reopening() -> None:
    rig = started_rig(CHAIN, lifecycle={"max_duration_ms": 20_000})
    rig.fire()
    rig.now += 10**7
    rig.operate(OperatorAction.RETRY_TASK)
    assert rig.steps() == {"a": "enqueued", "b": "pending", "c": "pending"}
    assert rig.next_due() == rig.now + 20_000
    assert rig.live.started_at != rig.live.deadline_from
    rig.succeed("a", "b", "c")
    assert rig.status() is TaskStatus.COMPLETE


def test_a_task_waiting_for_a_retry_meets_its_deadline() -> None:
    rig = started_rig(lifecycle={"max_duration_ms": 20_000}, steps={"a": {}})
    rig.do(rig.result("a", Outcome.RETURNED), after_ms=15_000)  # again at 25 s: a return is no retry
    assert rig.status() is TaskStatus.WAITING_FOR_RETRY
    rig.fire()
    assert rig.edges()[-1] == (None, "deadline_exceeded", "error")


def test_a_pending_task_has_no_deadline() -> None:
    rig = Rig(plan_of(ONE, lifecycle={"max_duration_ms": 1000}))
    rig.start(not_before=rig.now + 60_000)
    rig.now += 30_000
    assert rig.ignored(timer(rig, TimerKind.DEADLINE)) is IgnoredReason.NOT_DUE


# --------------------------------------------------------------------------------------------- staleness


def stale_rig(action: str) -> Rig:
    """A task blocked by a failed step, which waits for an operator."""
    lifecycle = {"on_blocked": "wait", "stale_after_ms": 60_000, "staleness_action": action}
    rig = started_rig(PAIR, lifecycle=lifecycle)
    assert rig.next_due() is None, "a task in progress does not go stale"
    rig.succeed("b")
    rig.fail("a", retryable=False)
    assert rig.status() is TaskStatus.BLOCKED_BY_FAILURES
    return rig


def test_staleness_is_reported_once_per_stay() -> None:
    rig = stale_rig("dlq")
    assert rig.next_due() == rig.now + 60_000
    early = timer(rig, TimerKind.STALENESS)
    assert rig.ignored(early) is IgnoredReason.NOT_DUE
    rig.fire()
    assert rig.edges() == [(None, "stale_reported", "blocked_by_failures")]
    (entry,) = rig.last.dlq_entries
    assert (entry.reason, entry.status, entry.life) == ("staleness_timeout", "pending", rig.life)
    assert rig.next_due() is None
    rig.now += 10**9
    assert rig.ignored(timer(rig, TimerKind.STALENESS)) is IgnoredReason.NOT_DUE
    rig.operate(OperatorAction.RETRY_STEP, "a")
    assert [(each.reason, each.status, each.actor) for each in rig.last.dlq_entries] == [
        ("staleness_timeout", "resolved", "ada")
    ]
    rig.fail("a", retryable=False)
    assert rig.next_due() == rig.now + 60_000, "another stay"


def test_staleness_can_end_the_task() -> None:
    rig = stale_rig("error")
    rig.fire()
    assert rig.edges() == [(None, "stale", "error")]
    assert rig.live.error_code == "stale"
    assert rig.last.dlq_entries == ()


def test_staleness_cancels_what_would_run_again() -> None:
    lifecycle = {"stale_after_ms": 1000, "staleness_action": "error"}
    rig = started_rig(lifecycle=lifecycle)
    rig.fail("a", retry_after_ms=60_000)
    assert rig.status() is TaskStatus.WAITING_FOR_RETRY
    rig.fire()
    assert rig.edges() == [("a", "cancelled", "cancelled"), (None, "stale", "error")]
    assert rig.step("a").state is StepStatus.CANCELLED


def test_without_an_action_nothing_goes_stale() -> None:
    rig = stale_rig("none")
    assert rig.next_due() is None
    rig.now += 10**9
    assert rig.ignored(timer(rig, TimerKind.STALENESS)) is IgnoredReason.NOT_DUE


def test_a_change_of_reason_does_not_begin_another_stay() -> None:
    rig = stale_rig("dlq")
    due = rig.next_due()
    rig.operate(OperatorAction.SET_REASON, text="looked at")
    assert rig.next_due() == due
