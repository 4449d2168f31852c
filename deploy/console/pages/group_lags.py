"""The lag of subscriber groups for pages that show it beside something else: read once for all who look.

To know it the broker is asked for every partition of every group. However many pages are open, and however many events
each shows, that is done once in `KEPT_SECONDS`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from tasker_kafka.deploy.reading.subscriber_rows import GroupRow
from tasker_kafka.schemas.errors import TaskerError

from .groups_view import lag_table
from .markup import EMPTY, Markup, cut, tag

if TYPE_CHECKING:
    from tasker_kafka.deploy.console.backend import Backend
    from tasker_kafka.streams.projection import EventRow

__all__ = ["GroupLags", "lag_section", "lags_of"]

KEPT_SECONDS: Final = 5.0


class GroupLags:
    """What was read last. Use one for all pages of a process."""

    def __init__(self, backend: Backend) -> None:
        self.backend = backend
        self._rows: Sequence[GroupRow] = ()
        self._good_until = 0.0
        self._reading = asyncio.Lock()

    async def read(self) -> Sequence[GroupRow]:
        """Every group, by name; at most KEPT_SECONDS old. TaskerError where they cannot be read."""
        async with self._reading:
            if time.monotonic() >= self._good_until:
                self._rows = await self.backend.groups()
                self._good_until = time.monotonic() + KEPT_SECONDS
            return self._rows


_held: Final[list[GroupLags]] = []


def lags_of(backend: Backend) -> GroupLags:
    """The one of this backend; a process has one backend."""
    if not _held or _held[0].backend is not backend:
        _held[:] = [GroupLags(backend)]
    return _held[0]


async def lag_section(lags: GroupLags, events: Sequence[EventRow]) -> Markup:
    """The groups that took these events or may still get them, with their lag; a sentence where it is not known."""
    if not events:
        return EMPTY
    named = {each.group for event in events for each in event.receipts}
    named |= {each.group for event in events for each in event.letters}
    try:
        rows = await lags.read()
    except TaskerError as error:
        said = tag("p", f"The groups' lag is not known: {cut(error.message, 300)}.", class_="note")
    else:
        said = lag_table(rows, named)
    return tag("section", tag("h2", "Subscriber groups and their lag"), said, class_="panel lag")
