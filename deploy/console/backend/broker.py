"""The way to the broker: log, templates and client, opened when the broker is there and opened anew after a loss.

Whoever uses them passes work to `use`. It fails at once while the broker is away, and as soon as it goes away, so that
no request waits for a driver's patience. A driver gets on by itself after a short loss; after a longer one everything
is made anew, because a writer that has failed stays unusable.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from tasker_kafka.schemas.errors import BrokerUnavailable, LogError, TaskerError
from tasker_kafka.topics.client import TaskClient
from tasker_kafka.topics.log import Log, TopicPartition
from tasker_kafka.topics.names import TopicNames
from tasker_kafka.topics.plans import PlanStore

from .shapes import BrokerReach

__all__ = ["Broker", "Live"]

_LOGGER: Final = logging.getLogger("tasker.console")
T = TypeVar("T")

LOOK_SECONDS: Final = 1.0
"""How often the broker is asked for a sign of life."""
ANSWER_SECONDS: Final = 3.0
"""A broker that takes longer is away."""
REOPEN_SECONDS: Final = 5.0
"""After a longer loss everything is made anew."""
CLOSE_SECONDS: Final = 5.0


class Live:
    """What there is while the broker is there. `ends`: the transitions' last stable offsets at the last look."""

    def __init__(self, log: Log, plans: PlanStore, client: TaskClient, partitions: int) -> None:
        self.log = log
        self.plans = plans
        self.client = client
        self.partitions = partitions
        self.lost = asyncio.Event()
        self.ends: dict[int, int] = {}


class Broker:
    """Keeps the way open. `run` it in the background; `reach` says how it stands and never raises."""

    def __init__(self, connect: Callable[[], Log], names: TopicNames, now_ms: Callable[[], int]) -> None:
        self._connect = connect
        self._names = names
        self._now_ms = now_ms
        self._live: Live | None = None
        self._opened = contextlib.AsyncExitStack()
        """Closes what `_live` stands on."""
        self._plans: PlanStore | None = None
        self._looked = asyncio.Event()
        self.reach = BrokerReach(is_reachable=False, since_at=now_ms(), error="not asked yet")

    @property
    def live(self) -> Live | None:
        """What there is; None while the broker is away."""
        return self._live if self.reach.is_reachable else None

    @property
    def plans(self) -> PlanStore | None:
        """The templates as far as they were ever read; kept while the broker is away. None: never read."""
        return self._plans

    async def wait_looked(self) -> None:
        """Until the broker was asked for the first time, whatever it answered."""
        await self._looked.wait()

    async def use(self, work: Callable[[Live], Awaitable[T]]) -> T:
        """Do something with the broker. BrokerUnavailable while it is away, or when it goes away meanwhile."""
        live = self.live
        if live is None:
            raise self._away("nothing was written")
        doing = asyncio.ensure_future(work(live))
        losing = asyncio.ensure_future(live.lost.wait())
        try:
            await asyncio.wait({doing, losing}, return_when=asyncio.FIRST_COMPLETED)
            if doing.done():
                return doing.result()
            raise self._away(
                "what was under way may have been written or not: send it again with the same id"
            )
        finally:
            for each in (doing, losing):
                each.cancel()
            await asyncio.gather(doing, losing, return_exceptions=True)

    async def run(self) -> None:
        """Look after the connection until cancelled."""
        away_since: float | None = None
        loop = asyncio.get_running_loop()
        try:
            while True:
                error = await self._look()
                self._tell(error)
                if error is None:
                    away_since = None
                elif away_since is None:
                    away_since = loop.time()
                elif loop.time() - away_since >= REOPEN_SECONDS:
                    await self._close()
                await asyncio.sleep(LOOK_SECONDS)
        finally:
            await self._close()

    # ------------------------------------------------------------------------------------------- inside

    async def _look(self) -> TaskerError | None:
        """Ask for a sign of life, opening what is not open: why there is none."""
        try:
            if self._live is None:
                await self._open()
            live = self._live
            assert live is not None, "it was opened just now"
            async with asyncio.timeout(ANSWER_SECONDS):
                live.ends = await self._ends(live)
        except TimeoutError:
            return BrokerUnavailable(f"the broker has not answered within {ANSWER_SECONDS:g} s")
        except TaskerError as error:
            return error
        except Exception as error:  # a driver's defect must not end the watch
            _LOGGER.exception("looking for the broker failed")
            return LogError(f"{type(error).__name__}: {error}")
        return None

    async def _open(self) -> None:
        log = self._connect()
        async with contextlib.AsyncExitStack() as opened:
            opened.push_async_callback(log.close)
            await log.start()
            plans = PlanStore(log, self._names)
            await plans.start()
            opened.push_async_callback(plans.stop)
            client = TaskClient(log, self._names, plans, actor="console")
            await client.start()
            opened.push_async_callback(client.close)
            live = Live(log, plans, client, await log.partition_count(self._names.transitions))
            self._opened = opened.pop_all()
        self._live, self._plans = live, plans

    async def _ends(self, live: Live) -> dict[int, int]:
        places = [TopicPartition(self._names.transitions, number) for number in range(live.partitions)]
        ends = await asyncio.gather(*(live.log.end_offset(each) for each in places))
        return dict(enumerate(ends))

    async def _close(self) -> None:
        live, self._live = self._live, None
        if live is None:
            return
        live.lost.set()
        try:
            async with asyncio.timeout(CLOSE_SECONDS):
                await self._opened.aclose()
        except Exception as error:  # what is thrown away may fail in any way
            _LOGGER.info("closing the connection: %s: %s", type(error).__name__, error)

    def _tell(self, error: TaskerError | None) -> None:
        was = self.reach
        self._looked.set()
        if error is None and not was.is_reachable:
            self.reach = BrokerReach(is_reachable=True, since_at=self._now_ms())
            if self._live is not None:
                self._live.lost.clear()
            _LOGGER.info("the broker answers")
        elif error is not None:
            since = self._now_ms() if was.is_reachable or was.error is None else was.since_at
            self.reach = BrokerReach(is_reachable=False, since_at=since, error=error.message)
            if self._live is not None:
                self._live.lost.set()
            if was.is_reachable:
                _LOGGER.warning("the broker is away: %s", error.message)

    def _away(self, consequence: str) -> BrokerUnavailable:
        return BrokerUnavailable(
            f"the broker is away ({self.reach.error or 'it went away just now'}); {consequence}",
            next_step="try again in a few seconds; `tasker doctor` says what is wrong if it stays so",
        )
