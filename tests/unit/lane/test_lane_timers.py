"""Time in the owner: due timers, silence, forgetting, the reconciler; on a virtual clock, by the running loops."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tasker_kafka.schemas.plan import Lifecycle, Plan, RetryPolicy
from tasker_kafka.schemas.records import Dispatch, Failure, Heartbeat, StepStarted
from tasker_kafka.schemas.state import Stub, TaskState
from tasker_kafka.schemas.words import Outcome, StepStatus, TaskStatus
from tasker_kafka.streams.lane.clock import OwnerClock
from tasker_kafka.streams.lane.timers import DueQueue, RetentionQueue
from tests.support.lane_checks import judge, same_states
from tests.support.lane_world import LaneWorld, Owner, plan_of, virtual


async def running(plan: Plan) -> tuple[LaneWorld, Owner]:
    """A world with an owner that runs by itself."""
    world = await LaneWorld(plan, latency=0.001).open()
    owner = await world.owner()
    owner.run()
    return world, owner


async def finished(world: LaneWorld, owner: Owner) -> None:
    """The verdict on a run."""
    assert owner.error is None, owner.error
    assert not owner.lane.metrics.reconciled
    await world.quiet()
    same_states(world, judge(world))
    await world.close()


def state_of(owner: Owner, task_id: bytes) -> TaskState:
    """A live task."""
    state = owner.lane.table.get(task_id)
    assert isinstance(state, TaskState)
    return state


async def taken(world: LaneWorld) -> Dispatch:
    """The next dispatch, its start reported."""
    [dispatch] = await world.dispatches(timeout=1)
    await world.command(dispatch.task_id, started(world, dispatch))
    return dispatch


def started(world: LaneWorld, dispatch: Dispatch) -> StepStarted:
    """What a worker says of a long step."""
    return StepStarted(
        life=dispatch.life,
        step=dispatch.step,
        attempt=dispatch.attempt,
        worker_id="w",
        started_at=world.log.now_ms(),
    )


# ----------------------------------------------------------------------------------------- step timers


@virtual
async def test_a_retry_comes_when_it_is_due() -> None:
    plan = plan_of(steps={"a": ()}, retry=RetryPolicy(jitter=0.0, backoff_base_ms=1000))
    world, owner = await running(plan)
    task_id = await world.start(plan)
    world.answer = lambda _: (Outcome.FAILURE, Failure(type="E", code="e"))
    [dispatch] = await world.dispatches(timeout=1)
    failed_at = await _answered(world, dispatch)
    [second] = await world.dispatches(timeout=10)
    assert second.attempt == 2
    assert 2000 <= second.dispatched_at - failed_at < 2200
    world.answer = lambda _: (Outcome.SUCCESS, None)
    await world.finish(second)
    await asyncio.sleep(0.1)
    assert isinstance(owner.lane.table.get(task_id), Stub)
    assert owner.lane.metrics.timers == 1
    await finished(world, owner)


async def _answered(world: LaneWorld, dispatch: Dispatch) -> int:
    await world.finish(dispatch)
    return world.log.now_ms()


@virtual
async def test_many_retries_that_are_due_together_go_together() -> None:
    steps: dict[str, tuple[str, ...]] = {f"s{number}": () for number in range(50)}
    plan = plan_of(steps=steps, retry=RetryPolicy(jitter=0.0, backoff_base_ms=500))
    world, owner = await running(plan)
    await world.start(plan)
    world.answer = lambda each: (
        (Outcome.FAILURE, Failure(type="E", code="e")) if each.attempt == 1 else (Outcome.SUCCESS, None)
    )
    for dispatch in await world.dispatches(timeout=1):
        await world.finish(dispatch)
    await asyncio.sleep(1.3)
    assert await world.work(timeout=1) == 50
    await asyncio.sleep(0.5)
    await finished(world, owner)


@virtual
async def test_nobody_takes_it_and_the_queue_timeout_counts() -> None:
    plan = plan_of(steps={"a": ()}, queue_timeout_ms=5000, retry=RetryPolicy(max_attempts=1))
    world, owner = await running(plan)
    task_id = await world.start(plan)
    await asyncio.sleep(4.5)
    assert state_of(owner, task_id).enqueued == 1
    await asyncio.sleep(1)
    assert state_of(owner, task_id).state is TaskStatus.ERROR
    await finished(world, owner)


@virtual
async def test_a_deadline_ends_the_task_and_tells_its_handlers() -> None:
    plan = plan_of(steps={"a": ()}, lifecycle=Lifecycle(max_duration_ms=3000))
    world, owner = await running(plan)
    task_id = await world.start(plan)
    await asyncio.sleep(4)
    assert state_of(owner, task_id).error_code == "deadline_exceeded"
    assert len(world.records(world.names.control)) == 1
    await finished(world, owner)


@virtual
async def test_not_before_waits_and_survives_an_outage() -> None:
    plan = plan_of(steps={"a": ()})
    world, owner = await running(plan)
    task_id = await world.start(plan, not_before=world.log.now_ms() + 20_000)
    await asyncio.sleep(1)
    assert state_of(owner, task_id).state is TaskStatus.PENDING
    await owner.lane.checkpoint()
    await owner.kill()
    await asyncio.sleep(60)
    following = await world.owner()
    following.run()
    await asyncio.sleep(0.5)
    assert state_of(following, task_id).state is TaskStatus.IN_PROGRESS
    await finished(world, following)


@virtual
async def test_a_lost_timer_is_written_again_after_five_seconds() -> None:
    plan = plan_of(steps={"a": ()})
    world, owner = await running(plan)
    task_id = await world.start(plan, not_before=world.log.now_ms() + 2000)
    await asyncio.sleep(1)
    # Written and lost on the way without an error: as if another owner's clock had been ahead.
    owner.lane._owned().owned.awaited[task_id] = (1, world.log.now_ms() + 1000)
    await asyncio.sleep(5.5)
    assert state_of(owner, task_id).state is TaskStatus.PENDING
    await asyncio.sleep(1.5)
    assert state_of(owner, task_id).state is TaskStatus.IN_PROGRESS
    assert owner.lane.metrics.timers == 1
    await finished(world, owner)


# ------------------------------------------------------------------------------------------ heartbeats


def long_plan() -> Plan:
    """One step that may run for an hour and must be heard of every ten seconds."""
    return plan_of(
        steps={"a": ()}, timeout_ms=3_600_000, heartbeat_timeout_ms=10_000, retry=RetryPolicy(jitter=0.0)
    )


@virtual
async def test_a_silent_handler_is_lost_and_the_attempt_is_not_counted() -> None:
    world, owner = await running(long_plan())
    task_id = await world.start(world.published[0])
    await taken(world)
    await asyncio.sleep(9)
    assert state_of(owner, task_id).steps[0].attempt == 1
    await asyncio.sleep(1.5)
    step = state_of(owner, task_id).steps[0]
    assert (step.attempt, step.base, step.losses, step.state) == (2, 1, 1, StepStatus.ENQUEUED)
    await finished(world, owner)


@virtual
async def test_heartbeats_keep_a_handler_alive_and_write_no_history() -> None:
    world, owner = await running(long_plan())
    task_id = await world.start(world.published[0])
    dispatch = await taken(world)
    await asyncio.sleep(0.1)
    before = len(world.records(world.names.transitions))
    beat = Heartbeat(life=dispatch.life, step="a", attempt=1)
    for _ in range(12):
        await asyncio.sleep(5)
        await world.command(task_id, beat)
    assert state_of(owner, task_id).steps[0].attempt == 1
    assert len(world.records(world.names.transitions)) == before
    await asyncio.sleep(11)
    assert state_of(owner, task_id).steps[0].attempt == 2
    await finished(world, owner)


@pytest.mark.parametrize(
    "other", [{"attempt": 2}, {"attempt": (1 << 31) - 1}, {"life": (1 << 63) - 1}, {"step": "b"}], ids=str
)
@virtual
async def test_anothers_heartbeat_does_not_hide_a_handlers_own(other: dict[str, Any]) -> None:
    world = await LaneWorld(long_plan()).open()
    owner = await world.owner()
    task_id = await world.start(world.published[0])
    await owner.pump()
    await owner.flush()
    [dispatch] = await world.dispatches()
    place: dict[str, Any] = {"life": dispatch.life, "step": "a", "attempt": 1}
    await world.command(task_id, StepStarted(**place, worker_id="w", started_at=dispatch.dispatched_at))
    await world.command(task_id, Heartbeat(**{**place, **other}))
    for _ in range(30):
        await world.command(task_id, Heartbeat(**place))
        await owner.pump()
        await asyncio.sleep(1)
        await owner.lane.tick()
        await owner.flush()
        await owner.pump()
    assert (state_of(owner, task_id).steps[0].attempt, state_of(owner, task_id).in_progress) == (1, 1)
    await world.close()


@virtual
async def test_a_new_owner_listens_before_it_calls_anybody_silent() -> None:
    world, owner = await running(long_plan())
    task_id = await world.start(world.published[0])
    dispatch = await taken(world)
    await asyncio.sleep(0.5)
    await owner.kill()
    await asyncio.sleep(30)  # nobody could be heard
    following = await world.owner()
    following.run()
    await asyncio.sleep(8)
    await world.command(task_id, Heartbeat(life=dispatch.life, step="a", attempt=1))
    await asyncio.sleep(8)
    assert state_of(following, task_id).steps[0].attempt == 1
    await asyncio.sleep(3)
    assert state_of(following, task_id).steps[0].attempt == 2
    await finished(world, following)


@virtual
async def test_nobody_is_silent_while_something_is_left_to_read() -> None:
    world = await LaneWorld(long_plan()).open()
    owner = await world.owner()
    task_id = await world.start(world.published[0])
    await owner.pump()
    dispatch = await taken(world)
    await owner.pump()
    await world.command(task_id, Heartbeat(life=dispatch.life, step="a", attempt=1))
    owner.lane._owned().watch._ticked_at += 11  # its ticks were in time, nothing else was
    await asyncio.sleep(11)
    await owner.lane.tick()
    assert owner.lane.metrics.timers == 0
    await owner.pump()  # read late: a backlog is a stall, too
    assert owner.lane.metrics.stalls == 1
    owner.lane._owned().watch._ticked_at += 11
    await asyncio.sleep(10.5)
    await owner.lane.tick()
    assert owner.lane.metrics.timers == 1
    await world.close()


@virtual
async def test_a_process_that_stood_still_gives_everybody_a_new_chance() -> None:
    world, owner = await running(long_plan())
    task_id = await world.start(world.published[0])
    await taken(world)
    await asyncio.sleep(0.5)
    owner.log.pause()
    for task in owner._tasks:
        task.cancel()
    await asyncio.sleep(30)
    owner.log.resume()
    await owner.lane.tick()
    assert owner.lane.metrics.stalls == 1
    assert owner.lane.metrics.timers == 0
    assert state_of(owner, task_id).steps[0].attempt == 1
    await world.close()


@virtual
@pytest.mark.parametrize("wrong_ms", [-3_600_000, 3_600_000])
async def test_a_new_owner_whose_clock_is_wrong_fires_the_timers_of_a_silent_partition(
    wrong_ms: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = plan_of(steps={"a": ()}, retry=RetryPolicy(jitter=0.0, backoff_base_ms=10_000))
    world, owner = await running(plan)
    await world.start(plan)
    world.answer = lambda _: (Outcome.FAILURE, Failure(type="E", code="e"))
    [dispatch] = await world.dispatches(timeout=1)
    failed_at = await _answered(world, dispatch)
    await asyncio.sleep(0.5)  # decided: nothing is left to read for who comes next
    await owner.stop()
    wrong = await world.prepared()
    right = wrong.log.now_ms
    monkeypatch.setattr(wrong.log, "now_ms", lambda: right() + wrong_ms)
    await wrong.acquire()
    wrong.run()
    [second] = await world.dispatches(timeout=60)
    assert 20_000 <= second.dispatched_at - failed_at < 20_200
    world.answer = lambda _: (Outcome.SUCCESS, None)
    await world.finish(second)
    await asyncio.sleep(0.1)
    await finished(world, wrong)


@virtual
async def test_after_an_outage_the_old_commands_do_not_tell_the_time() -> None:
    plan = plan_of(steps={"a": ()}, lifecycle=Lifecycle(max_duration_ms=1_800_000))
    world, owner = await running(plan)
    task_id = await world.start(plan)
    dispatch = await taken(world)
    await owner.kill()
    await world.command(task_id, started(world, dispatch))  # read an hour later
    await asyncio.sleep(3600)
    following = await world.owner()
    following.run()
    await asyncio.sleep(1)
    assert state_of(following, task_id).error_code == "deadline_exceeded"
    await finished(world, following)


# ------------------------------------------------------------------------------------------ the parts


def test_the_clock_is_the_best_lower_bound() -> None:
    elapsed = [0.0]
    clock = OwnerClock(1_000_000, lambda: elapsed[0])
    assert clock.now_ms() == 1_000_000
    assert clock.observe(500_000) == 500_000  # the first broker time replaces the wall clock, also backwards
    assert clock.now_ms() == 500_000
    elapsed[0] = 2.0
    assert clock.observe(501_000) == 1000  # read late: the clock does not go back
    assert clock.now_ms() == 502_000
    assert clock.observe(510_000) == -8000
    elapsed[0] = 3.0
    assert clock.now_ms() == 511_000


def test_the_due_queue_gives_each_task_once_and_drops_what_was_cancelled() -> None:
    queue = DueQueue()
    a, b, c = (bytes([number]) * 16 for number in range(3))
    for task, due in ((a, 30), (b, 20), (a, 10), (c, 5), (a, 50)):
        queue.schedule(task, due)
    queue.cancel(c)
    assert list(queue.pop_due(9, 10)) == []
    assert list(queue.pop_due(100, 1)) == [a]
    assert list(queue.pop_due(100, 10)) == [b]
    assert len(queue) == 0
    queue.schedule(a, 60)
    assert list(queue.pop_due(60, 10)) == [a]


def test_the_due_queue_forgets_cancelled_entries() -> None:
    queue = DueQueue()
    for number in range(5000):
        queue.schedule(number.to_bytes(16, "big"), 10**9)
        queue.cancel(number.to_bytes(16, "big"))
    assert len(queue._heap) < 2000


def test_the_retention_queue_takes_what_may_be_due() -> None:
    queue = RetentionQueue()
    for number in range(10):
        queue.add(bytes([number]), number * 1000)
    assert queue.due_until(-1, 5) is None
    assert queue.due_until(4500, 100) == 4000
    assert queue.due_until(9000, 3) == 2000
    assert queue.take(2000) == [bytes([0]), bytes([1]), bytes([2])]
    assert queue.take(3500) == [bytes([3]), bytes([4])]  # the second that ends later: the caller asks exactly
    assert queue.take(100_000) == [bytes([number]) for number in range(5, 10)]
    assert queue.due_until(10**9, 5) is None
