"""Questions have threads and a limit of time of their own: a large one fails itself, and starves nothing."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from typing import cast

import pytest
from sqlalchemy import text

from tasker_kafka.deploy.console.backend.broker import Broker
from tasker_kafka.deploy.console.backend.reach import Reach
from tasker_kafka.deploy.console.problems import problem_of
from tasker_kafka.streams.projection import QuestionTooLarge, Reads, Store, StoreUnavailable, TaskQuery
from tasker_kafka.streams.projection.engines import CONNECTIONS
from tests.support.patience import PATIENCE_SECONDS
from tests.support.projected import NAMES, NOW

ENDLESS = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT count(*) FROM n WHERE x < 0"


class Silent:
    """A broker that is away."""

    live = None

    async def wait_looked(self) -> None:
        """It was looked at."""


@pytest.fixture
def hasty(place: str) -> Iterator[Store]:
    """A store whose questions may take 50 ms."""
    Store.open(place, prefix="tasker", create=True).close()
    store = Store.open(place, prefix="tasker", read_seconds=0.05)
    yield store
    store.close()


def test_a_question_that_takes_too_long_fails_and_says_what_to_do(hasty: Store) -> None:
    with (
        pytest.raises(QuestionTooLarge, match=r"took longer than 0\.05 s") as told,
        hasty.reading() as connection,
    ):
        connection.execute(text(ENDLESS))
    assert "narrow the filter" in str(told.value)
    assert isinstance(told.value, StoreUnavailable)


async def test_the_api_answers_it_with_503_and_goes_on_asking_the_store(hasty: Store) -> None:
    at_desk = Reach(cast(Broker, Silent()), lambda: hasty, NAMES, lambda: NOW)
    looking = asyncio.create_task(at_desk.run())
    await at_desk.wait_looked()

    async def large(reads: Reads) -> int:
        def ask() -> int:
            with reads.store.reading() as connection:
                return int(connection.execute(text(ENDLESS)).scalar_one())

        return await reads.store.call(ask)

    with pytest.raises(QuestionTooLarge) as told:
        await at_desk.read(large)
    answer = problem_of(told.value)
    assert (answer.status_code, b"narrow the filter" in bytes(answer.body)) == (503, True)
    assert await at_desk.read(lambda reads: reads.counts(TaskQuery())) == {}
    looking.cancel()
    await asyncio.wait([looking])


def test_the_limit_is_of_the_question_and_not_of_its_connection(hasty: Store) -> None:
    with pytest.raises(QuestionTooLarge), hasty.reading() as connection:
        connection.execute(text(ENDLESS))
    some = ENDLESS.replace("FROM n)", "FROM n WHERE x < 2000000)")
    for unlimited in (hasty.reading_all, hasty.writing):
        with unlimited() as connection:
            assert connection.execute(text(some)).scalar() == 0


async def test_questions_need_no_thread_of_the_loops_own(store: Store) -> None:
    """As many of those as there are may be held by a name server that does not answer."""
    is_over = threading.Event()
    loop = asyncio.get_running_loop()
    held = [loop.run_in_executor(None, is_over.wait, PATIENCE_SECONDS) for _ in range(64)]
    try:
        async with asyncio.timeout(PATIENCE_SECONDS / 2):
            assert await Reads(store).counts(TaskQuery()) == {}
    finally:
        is_over.set()
        await asyncio.gather(*held)


async def test_its_threads_have_its_name_and_are_no_more_than_its_connections(store: Store) -> None:
    names = await asyncio.gather(
        *(store.call(lambda: threading.current_thread().name) for _ in range(5 * CONNECTIONS))
    )
    assert {each.rpartition("_")[0] for each in names} == {"tasker-store"}
    assert len(set(names)) <= CONNECTIONS


async def test_a_store_that_was_closed_tells_who_still_asks(store: Store) -> None:
    reads = Reads(store)
    store.close()
    with pytest.raises(StoreUnavailable, match="was closed"):
        await reads.meta()


async def test_what_goes_wrong_in_a_thread_is_raised_as_it_is(store: Store) -> None:
    def fail() -> None:
        raise RuntimeError("of its own")

    with pytest.raises(RuntimeError, match="of its own"):
        await store.call(fail)
