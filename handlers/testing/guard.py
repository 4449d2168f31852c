"""What has ended a role is raised in whatever the test waits for: nobody waits for what can no longer come."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

__all__ = ["Guard"]

T = TypeVar("T")


class Guard:
    """Of one test's roles. Made on the loop."""

    def __init__(self) -> None:
        self._failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    @property
    def has_failed(self) -> bool:
        """Whether a role has ended."""
        return self._failed.done()

    def fail(self, error: BaseException) -> None:
        """A role has ended; the first error is the one that is told."""
        if not self._failed.done():
            self._failed.set_exception(error)
            self._failed.exception()  # it is told to whoever is waiting, or to nobody

    async def wait(self, work: Coroutine[Any, Any, T]) -> T:
        """Await `work`; raises instead what has ended a role meanwhile."""
        task = asyncio.create_task(work)
        try:
            waited: set[asyncio.Future[Any]] = {task, self._failed}
            await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
            if not task.done():
                self._failed.result()
            return task.result()
        finally:
            task.cancel()
            await asyncio.wait([task])
