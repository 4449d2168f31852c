"""The feed of changes over an outage of the projection: nobody goes on believing what was told before it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from typing import TYPE_CHECKING, cast

import pytest

from tasker_kafka.deploy.console.backend import changes as feed_module
from tasker_kafka.deploy.console.backend.changes import ChangeFeed
from tasker_kafka.streams.projection import Changes, StoreUnavailable

if TYPE_CHECKING:
    from tasker_kafka.deploy.console.backend.reach import Reach


class _Reach:
    """A projection at rest, which can be away."""

    def __init__(self) -> None:
        self.is_away = False

    async def read(self, _: Callable[[object], Awaitable[object]]) -> Changes:
        if self.is_away:
            raise StoreUnavailable("away")
        return Changes(positions={0: 7}, tasks=())


@pytest.fixture
def reach(monkeypatch: pytest.MonkeyPatch) -> _Reach:
    monkeypatch.setattr(feed_module, "POLL_SECONDS", 0.001)
    monkeypatch.setattr(feed_module, "AWAY_SECONDS", 0.001)
    return _Reach()


async def test_what_moved_in_an_outage_is_looked_for_after_it(reach: _Reach) -> None:
    feed = ChangeFeed(cast("Reach", reach), most_listeners=5)
    async with asyncio.timeout(10), aclosing(feed.listen()) as early:
        assert not (await anext(early)).is_cut
        reach.is_away = True
        assert (await anext(early)).is_cut, "it is gone: what is shown may be old"
        async with aclosing(feed.listen()) as late:
            assert not (await anext(late)).is_cut
            reach.is_away = False
            for each in (early, late):
                told = await anext(each)
                assert told.is_cut, "it is back: what moved meanwhile is not told one by one"
                assert told.positions == {0: 7}
    await feed.close()


async def test_only_the_slow_are_told_to_look_anew(reach: _Reach) -> None:
    feed = ChangeFeed(cast("Reach", reach), most_listeners=5)
    slow: asyncio.Queue[Changes] = asyncio.Queue()
    quick: list[asyncio.Queue[Changes]] = [asyncio.Queue() for _ in range(8)]
    feed._listeners = {slow, *quick}
    for _ in range(feed_module._MOST_WAITING):
        slow.put_nowait(Changes(positions={}, tasks=()))
    feed._tell(Changes(positions={0: 9}, tasks=()))
    assert (slow.qsize(), slow.get_nowait().is_cut) == (1, True)
    assert not any(each.get_nowait().is_cut for each in quick)
