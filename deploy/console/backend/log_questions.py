"""What only the log tells: dead letters, rejections, subscriber groups. Each question reads whole topics.

So few run at once, each bounded in memory by what it returns, and what is asked beyond that is told to come again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from tasker_kafka.deploy.reading import RejectionRow, list_rejections, read_rejection
from tasker_kafka.deploy.reading.dead_letters import LetterPage, LetterReport, list_letters, read_letter
from tasker_kafka.deploy.reading.subscriber_groups import count_letters, list_groups, read_group
from tasker_kafka.deploy.reading.subscriber_rows import DeadRow, GroupReport, GroupRow
from tasker_kafka.handlers.delivery.letters import LetterFilter
from tasker_kafka.handlers.delivery.redrive import ActOrder, ActReport, Progress, purge, redrive
from tasker_kafka.topics.names import TopicNames

from .broker import Broker, Live
from .errors import Overloaded
from .hiding import hidden

__all__ = ["LogQuestions"]

T = TypeVar("T")

LOG_SCANS: Final = 4
"""Questions that are answered at once; as many again may wait."""


class LogQuestions:
    """The part of the backend that reads whole topics."""

    def __init__(self, broker: Broker, names: TopicNames) -> None:
        self.broker = broker
        self.names = names
        self._scans = asyncio.Semaphore(LOG_SCANS)
        self._scanning = 0

    async def dead_letters(
        self, wanted: LetterFilter, *, limit: int = 50, before: str | None = None
    ) -> LetterPage:
        """The newest dead letters that fit."""
        return await self._scan(
            lambda live: list_letters(live.log, self.names, wanted, limit=limit, before=before)
        )

    async def dead_letter(self, place: str, *, raw: bool = False) -> LetterReport:
        """One dead letter in full; `raw`: with the original's bytes, secrets included. NotFoundError."""
        return await self._scan(lambda live: read_letter(live.log, self.names, place, raw=raw))

    async def letter_counts(self) -> dict[str, dict[str, DeadRow]]:
        """Open dead letters by group and class."""
        return await self._scan(lambda live: count_letters(live.log, self.names))

    async def redrive(
        self, wanted: LetterFilter, order: ActOrder, *, progress: Progress | None = None
    ) -> ActReport:
        """Hand letters to their groups again, or say which would be; see `handlers.delivery.redrive`."""
        return await self._scan(lambda live: redrive(live.log, self.names, wanted, order, progress=progress))

    async def purge(
        self, wanted: LetterFilter, order: ActOrder, *, progress: Progress | None = None
    ) -> ActReport:
        """Give letters up, or say which would be."""
        return await self._scan(lambda live: purge(live.log, self.names, wanted, order, progress=progress))

    async def groups(self, *, with_dead_letters: bool = False) -> list[GroupRow]:
        """Subscriber groups with their lag."""
        return await self._scan(
            lambda live: list_groups(live.log, self.names, with_dead_letters=with_dead_letters)
        )

    async def group(self, group: str) -> GroupReport:
        """One subscriber group in full. NotFoundError names the nearest."""
        return await self._scan(lambda live: read_group(live.log, self.names, group))

    async def rejections(self, *, limit: int = 50, code: str | None = None) -> list[RejectionRow]:
        """The newest requests and commands that were not accepted."""
        return hidden(
            await self._scan(lambda live: list_rejections(live.log, self.names, limit=limit, code=code))
        )

    async def rejection(self, place: str, *, raw: bool = False) -> RejectionRow:
        """One rejection with the original request; `raw`: with its bytes, secrets included. NotFoundError."""
        return hidden(await self._scan(lambda live: read_rejection(live.log, self.names, place, raw=raw)))

    # ------------------------------------------------------------------------------------------- inside

    async def _scan(self, work: Callable[[Live], Awaitable[T]]) -> T:
        """Read whole topics; few at once, since each costs memory and the broker's time."""
        if self._scanning >= 2 * LOG_SCANS:
            raise Overloaded("too many topics are being read already", next_step="try again in a few seconds")
        self._scanning += 1
        try:
            async with self._scans:
                return await self.broker.use(work)
        finally:
            self._scanning -= 1
