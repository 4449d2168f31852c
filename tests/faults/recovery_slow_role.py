"""The command line with an engine that needs longer to load its partitions than its session lasts."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from tasker_kafka.deploy.cli import main
from tasker_kafka.streams.lane.host import LaneHost
from tests.support.system import SESSION_TIMEOUT_MS

__all__: list[str] = []

_acquire = LaneHost.acquire


async def _acquire_slowly(self: LaneHost, partitions: Iterable[int]) -> None:
    await asyncio.sleep(2 * SESSION_TIMEOUT_MS / 1000)
    await _acquire(self, partitions)


LaneHost.acquire = _acquire_slowly  # type: ignore[method-assign]  # what this module is for

if __name__ == "__main__":
    main()
