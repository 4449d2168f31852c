"""One answer for all who ask at about the same time, so that a thousand who ask cost what one costs."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

__all__ = ["Shared"]

T = TypeVar("T")


class Shared(Generic[T]):
    """What `work` answers, kept for some seconds. While it is worked out all wait for the same.

    Who stops waiting stops nobody else. A failure is told to all who waited for it, and is not kept.
    """

    def __init__(self, work: Callable[[], Awaitable[T]], kept_seconds: float) -> None:
        self._work = work
        self._kept_seconds = kept_seconds
        self._doing: asyncio.Task[T] | None = None
        self._kept_until = float("-inf")

    async def get(self) -> T:
        """The answer; what `work` raises."""
        if self._doing is None or self._is_over(self._doing):
            self._doing = asyncio.create_task(self._work_out(), name="shared answer")
        return await asyncio.shield(self._doing)

    async def close(self) -> None:
        """Stop working it out; who waits is cancelled."""
        if self._doing is not None:
            self._doing.cancel()
            await asyncio.gather(self._doing, return_exceptions=True)

    # ------------------------------------------------------------------------------------------- inside

    async def _work_out(self) -> T:
        answer = await self._work()
        self._kept_until = asyncio.get_running_loop().time() + self._kept_seconds
        return answer

    def _is_over(self, doing: asyncio.Task[T]) -> bool:
        if not doing.done():
            return False
        has_failed = doing.cancelled() or doing.exception() is not None
        return has_failed or asyncio.get_running_loop().time() >= self._kept_until
