"""The worker's smaller parts, each alone: cache, deadlines, threads, background tasks, cancellations, settings."""

from __future__ import annotations

import asyncio
import threading

import pytest

from tasker_kafka.handlers.worker import WorkerSettings
from tasker_kafka.handlers.worker.answers import AnswerCache
from tasker_kafka.handlers.worker.cancellations import Cancellations, is_cancelled_by
from tasker_kafka.handlers.worker.deadlines import Deadlines
from tasker_kafka.handlers.worker.tasks import BackgroundTasks
from tasker_kafka.handlers.worker.threads import HandlerThreads
from tasker_kafka.schemas.codec import codec
from tasker_kafka.schemas.errors import ConfigurationError
from tasker_kafka.schemas.records import Cancellation, Dispatch
from tasker_kafka.topics.log import TopicDescription, Write
from tasker_kafka.topics.memory import MemoryLog, run_virtual

TASK = bytes(16)


def dispatch(*, life: int = 1, step: str = "a", attempt: int = 1, at: int = 100) -> Dispatch:
    return Dispatch(
        task_id=TASK,
        life=life,
        step=step,
        attempt=attempt,
        last_attempt=False,
        plan_hash=bytes(32),
        handler="h",
        context=b"{}",
        inputs=(),
        dispatched_at=at,
        queue_deadline=None,
        correlation_id="",
        traceparent=None,
    )


def cancellation(*, life: int = 1, step: str | None = None, attempt: int = 1, at: int = 200) -> Cancellation:
    return Cancellation(life=life, step=step, attempt=attempt, reason="r", at=at)


def test_the_cache_is_bounded_in_bytes_and_forgets_the_oldest() -> None:
    cache = AnswerCache(3000)
    for number in range(10):
        cache.put((TASK, 0, "a", number), bytes(600))
    assert len(cache) == 3
    assert cache.size_bytes <= 3000
    assert cache.get((TASK, 0, "a", 6)) is None
    assert cache.get((TASK, 0, "a", 9)) == bytes(600)
    cache.put((TASK, 0, "a", 9), b"")
    assert len(cache) == 3


@pytest.mark.parametrize(
    ("found", "record", "expected"),
    [
        (dispatch(), cancellation(), True),
        (dispatch(), cancellation(step="a"), True),
        (dispatch(), cancellation(step="b"), False),
        (dispatch(life=2), cancellation(), False),
        (dispatch(attempt=2), cancellation(step="a"), False),
        (dispatch(at=201), cancellation(), False),
    ],
)
def test_a_cancellation_is_about_what_was_granted_before_it(
    found: Dispatch, record: Cancellation, expected: bool
) -> None:
    assert is_cancelled_by(found, record) is expected


def test_the_control_topic_is_read_whole_before_start_returns() -> None:
    async def main() -> None:
        log = MemoryLog()
        await log.admin().create([TopicDescription("control", 2, 1, {})])
        outbox = await log.outbox(client_id="t")
        await outbox.warm(["control"])
        for partition in (0, 1):
            for number in range(50):
                key = bytes([partition]) * 15 + bytes([number])
                value = codec.encode(cancellation()) if number else b"damaged"
                await outbox.write(Write("control", key, value, partition=partition))
        known = Cancellations(log, "control", codec, WorkerSettings())
        await known.start()
        assert known.find(dispatch()) is None
        for partition in (0, 1):
            last = bytes([partition]) * 15 + bytes([49])
            assert known._by_task[last] == [cancellation()]
        assert len(known._by_task) == 98
        await log.close()

    run_virtual(main())


class Sleeper:
    """Wakes at its times and notes them."""

    def __init__(self, *times: float) -> None:
        self.times = list(times)
        self.woken: list[float] = []
        self.is_over = False

    def wake(self, now: float) -> float | None:
        self.woken.append(now)
        self.times.pop(0)
        return self.times[0] if self.times else None


def test_deadlines_wake_each_at_its_time_and_nobody_who_is_over() -> None:
    async def main() -> None:
        deadlines = Deadlines()
        late, early, over = Sleeper(5.0, 6.0), Sleeper(1.0, 5.5), Sleeper(0.5)
        for each in (late, over, early):
            deadlines.add(each.times[0], each)
        over.is_over = True
        await asyncio.sleep(5.2)
        early.is_over = True
        await asyncio.sleep(10)
        assert (late.woken, early.woken, over.woken) == ([5.0, 6.0], [1.0], [])

    run_virtual(main())


async def test_threads_are_used_again_and_a_stuck_one_is_nobodys_problem() -> None:
    threads = HandlerThreads()
    loop = asyncio.get_running_loop()
    stuck = threading.Event()
    hanging = loop.run_in_executor(threads, stuck.wait)
    for _ in range(5):
        await loop.run_in_executor(threads, int)
    with pytest.raises(ZeroDivisionError):
        await loop.run_in_executor(threads, lambda: 1 / 0)
    assert threads.started <= 3
    threads.shutdown(wait=False)
    stuck.set()
    await hanging


async def test_an_error_in_a_background_task_is_not_silent() -> None:
    told: asyncio.Future[BaseException] = asyncio.get_running_loop().create_future()
    tasks = BackgroundTasks(told.set_result)

    async def fail() -> None:
        raise LookupError

    tasks.start(fail())
    assert isinstance(await told, LookupError)
    tasks.start(asyncio.sleep(3600))
    await tasks.close()


def test_settings_that_cannot_work_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="concurrency is 0"):
        WorkerSettings(concurrency=0)
    with pytest.raises(ConfigurationError, match="lookahead is 0"):
        WorkerSettings(lookahead=0)
    with pytest.raises(ConfigurationError, match=r"commit_seconds is 0\.0"):
        WorkerSettings(commit_seconds=0.0)
