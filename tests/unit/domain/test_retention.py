"""Stubs, failed tasks, Forget and the horizon."""

import pytest

from tasker_kafka.schemas.codec import codec
from tasker_kafka.schemas.state import Stub
from tasker_kafka.schemas.words import OperatorAction, TaskStatus
from tasker_kafka.streams.domain import forget, retire_at
from tasker_kafka.streams.domain.retention import is_expired, retired
from tests.support.tasks import ONE, REQUEST_ID, START, TASK_ID, Rig, plan_of

HOUR = 3_600_000


def stub(number: int, *, created_at: int, forget_at: int) -> Stub:
    """A stub of its own task."""
    return Stub(
        task_id=number.to_bytes(16, "big"),
        request_id=REQUEST_ID,
        life=number,
        outcome=TaskStatus.COMPLETE,
        created_at=created_at,
        closed_at=created_at + 1,
        forget_at=forget_at,
        plan_hash=b"p" * 32,
    )


def failed_rig(**lifecycle: int) -> Rig:
    """A task in error."""
    rig = Rig(plan_of(ONE, lifecycle=lifecycle))
    rig.start()
    rig.fail("a", retryable=False)
    return rig


@pytest.mark.parametrize("hours", [1, 24, 0])
def test_a_final_task_is_a_small_stub(hours: int) -> None:
    rig = Rig(plan_of(ONE, lifecycle={"retention_hours": hours}))
    rig.start()
    life, created = rig.life, rig.live.created_at
    rig.succeed("a")
    assert rig.state == Stub(
        task_id=TASK_ID,
        request_id=REQUEST_ID,
        life=life,
        outcome=TaskStatus.COMPLETE,
        created_at=created,
        closed_at=rig.now,
        forget_at=rig.now + max(1, hours) * HOUR,
        plan_hash=rig.plan.hash,
    )
    assert isinstance(rig.state, Stub)
    assert len(codec.encode(rig.state)) <= 110, "100 bytes and the encoding's own ten"


def test_a_failed_task_keeps_everything() -> None:
    rig = failed_rig()
    assert rig.step("a").failure is not None
    assert retire_at(rig.live, rig.plan) == rig.now + 720 * HOUR
    rig.operate(OperatorAction.RETRY_TASK)
    assert retire_at(rig.live, rig.plan) is None
    assert retired(rig.live, rig.plan) is None


def test_blocked_tasks_are_never_forgotten() -> None:
    rig = Rig(plan_of(ONE, lifecycle={"on_blocked": "wait"}))
    rig.start()
    rig.fail("a", retryable=False)
    assert retire_at(rig.live, rig.plan) is None
    done = forget(10**15, now=10**15, command_offset=1, horizon=-1, stubs=(), failed=[(rig.live, rig.plan)])
    assert (done.dropped, done.retired, done.record.horizon) == ((), (), -1)


def test_what_is_due_is_dropped_and_moves_the_horizon() -> None:
    stubs = [
        stub(1, created_at=50, forget_at=100),
        stub(2, created_at=70, forget_at=101),
        stub(3, created_at=60, forget_at=99),
    ]
    done = forget(100, now=1000, command_offset=7, horizon=55, stubs=stubs)
    assert done.dropped == (stubs[0].task_id, stubs[2].task_id)
    assert (done.record.until, done.record.horizon, done.record.command_offset) == (100, 60, 7)
    assert done.record.at == 1000


def test_the_horizon_never_moves_back() -> None:
    done = forget(100, now=100, command_offset=7, horizon=90, stubs=[stub(1, created_at=5, forget_at=9)])
    assert done.record.horizon == 90


def test_nothing_is_forgotten_before_its_time_whatever_is_asked() -> None:
    done = forget(10**15, now=100, command_offset=7, horizon=-1, stubs=[stub(1, created_at=5, forget_at=101)])
    assert done.dropped == ()
    assert done.record.until == 100


def test_a_failed_task_becomes_a_stub_then_goes() -> None:
    rig = failed_rig(failed_retention_hours=2, retention_hours=3)
    closed = rig.now
    due = closed + 2 * HOUR

    def at(until: int) -> tuple[tuple[bytes, ...], tuple[Stub, ...], int]:
        done = forget(until, now=until, command_offset=1, horizon=-1, stubs=(), failed=[(rig.live, rig.plan)])
        return done.dropped, done.retired, done.record.horizon

    assert at(due - 1) == ((), (), -1)
    dropped, kept, horizon = at(due)
    assert (dropped, horizon) == ((), -1)
    (one,) = kept
    assert (one.outcome, one.closed_at, one.forget_at) == (TaskStatus.ERROR, closed, due + 3 * HOUR)
    assert at(due + 3 * HOUR) == ((TASK_ID,), (), START)


@pytest.mark.parametrize(("time", "expected"), [(9, True), (10, True), (11, False)])
def test_expiry_is_not_after_the_horizon(time: int, expected: bool) -> None:
    assert is_expired(time, 10) is expected
