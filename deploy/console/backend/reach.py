"""What can be reached from here: the broker, and the projection with how far it is behind. Kept fresh, never raises.

The store is opened when it is there and opened anew when it was removed or rebuilt. How long it has been behind is told
from samples of the log's ends: a record that lay in the log at a sample and is not projected yet has waited since then.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from typing import Final, TypeVar

from tasker_kafka.schemas.errors import TaskerError
from tasker_kafka.streams.projection import PositionRow, QuestionTooLarge, Reads, Store, StoreUnavailable
from tasker_kafka.topics.names import TopicNames

from .broker import Broker
from .shapes import BrokerReach, StoreReach

__all__ = ["Reach"]

_LOGGER: Final = logging.getLogger("tasker.console")
T = TypeVar("T")

LOOK_SECONDS: Final = 1.0
_SAMPLES: Final = 900
"""Of the log's ends: a quarter of an hour. Beyond it the age of the last projected record is told."""

OpenStore = Callable[[], Store]


class Reach:
    """Use `run` in the background. `broker` and `store` say how things stand."""

    def __init__(
        self, broker: Broker, open_store: OpenStore, names: TopicNames, now_ms: Callable[[], int]
    ) -> None:
        self._broker = broker
        self._open_store = open_store
        self._topic = names.transitions
        self._now_ms = now_ms
        self._store: Store | None = None
        self._reads: Reads | None = None
        self._looked = asyncio.Event()
        self._samples: deque[tuple[int, dict[int, int]]] = deque(maxlen=_SAMPLES)
        self.store = StoreReach(is_readable=False, since_at=now_ms(), error="not looked at yet")

    @property
    def broker(self) -> BrokerReach:
        """Whether the broker answers."""
        return self._broker.reach

    @property
    def reads(self) -> Reads | None:
        """The projection; None while it cannot be read."""
        return self._reads if self.store.is_readable else None

    def is_fresh(self, seconds: float) -> bool:
        """Whether the projection can be read and is not known to be further behind."""
        behind = self.store.seconds_behind
        return self.store.is_readable and (behind is None or behind <= seconds)

    async def read(self, work: Callable[[Reads], Awaitable[T]]) -> T:
        """Ask the projection. StoreUnavailable while it cannot be read; QuestionTooLarge says nothing of others."""
        reads = self.require()
        try:
            return await work(reads)
        except QuestionTooLarge:
            raise
        except StoreUnavailable as error:
            self._tell_away(error.message)
            raise

    def require(self) -> Reads:
        """The projection. StoreUnavailable while it cannot be read."""
        reads = self.reads
        if reads is None:
            raise self._away(self.store.error or "it cannot be read")
        return reads

    async def wait_looked(self) -> None:
        """Until broker and store were looked at for the first time."""
        await asyncio.gather(self._looked.wait(), self._broker.wait_looked())

    async def run(self) -> None:
        """Look after the store until cancelled."""
        try:
            while True:
                await self._look()
                self._looked.set()
                await asyncio.sleep(LOOK_SECONDS)
        finally:
            await self._close()

    # ------------------------------------------------------------------------------------------- inside

    async def _look(self) -> None:
        try:
            if self._store is not None and await asyncio.to_thread(self._store.is_gone):
                await self._close()
            if self._reads is None:
                self._store = await asyncio.to_thread(self._open_store)
                self._reads = Reads(self._store)
            positions = await self._reads.positions()
        except Exception as error:  # as in `read`: every driver has errors of its own
            message = error.message if isinstance(error, TaskerError) else f"{type(error).__name__}: {error}"
            await self._close()
            self._tell_away(message)
            return
        records, seconds = self._behind(positions)
        since = self.store.since_at if self.store.is_readable else self._now_ms()
        self.store = StoreReach(
            is_readable=True, since_at=since, records_behind=records, seconds_behind=seconds
        )

    def _behind(self, positions: Iterable[PositionRow]) -> tuple[int | None, float | None]:
        """How many records and seconds the projection is behind; None: nobody can tell without the broker."""
        live = self._broker.live
        if live is None or not live.ends:
            self._samples.clear()
            return None, None
        rows = {each.partition: each for each in positions if each.topic == self._topic}
        done = {number: rows[number].next_offset if number in rows else 0 for number in live.ends}
        now = self._now_ms()
        self._samples.append((now, dict(live.ends)))
        while self._samples and all(
            end <= done.get(number, 0) for number, end in self._samples[0][1].items()
        ):
            self._samples.popleft()
        records = sum(max(0, end - done[number]) for number, end in live.ends.items())
        if not records or not self._samples:
            return records, 0.0
        waited = (now - self._samples[0][0]) / 1000
        if waited > LOOK_SECONDS:  # it was behind before we looked: then by the age of what it has
            ages = [
                now - row.record_at
                for number, row in rows.items()
                if row.record_at is not None and done[number] < live.ends.get(number, 0)
            ]
            waited = max([waited, *(age / 1000 for age in ages)])
        return records, waited

    def _tell_away(self, message: str) -> None:
        was = self.store
        since = self._now_ms() if was.is_readable or was.error == "not looked at yet" else was.since_at
        self.store = StoreReach(is_readable=False, since_at=since, error=message)
        if was.is_readable:
            _LOGGER.warning("the projection cannot be read: %s", message)

    def _away(self, why: str) -> StoreUnavailable:
        return StoreUnavailable(
            f"the projection cannot be read: {why}",
            next_step="see that `tasker projection run` runs; `tasker projection status` tells how far it is",
        )

    async def _close(self) -> None:
        store, self._store, self._reads = self._store, None, None
        if store is not None:
            await asyncio.to_thread(store.close)
