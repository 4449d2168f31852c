"""A watcher that kills its own process: `python -m tests.support.watcher_process BOOTSTRAP PREFIX POINT`."""

from __future__ import annotations

import asyncio
import os
import signal
import sys

from tasker_kafka.handlers.delivery.watcher import ReceiptWatcher
from tasker_kafka.handlers.delivery.watching import WatcherCrashPoint
from tasker_kafka.topics.kafka import KafkaLog
from tasker_kafka.topics.names import TopicNames

from .watcher_rig import FAST


class Suicide:
    """Ends the process as hard as can be at one crash point."""

    def __init__(self, point: WatcherCrashPoint) -> None:
        self.point = point

    def reached(self, point: WatcherCrashPoint, /) -> None:
        if point is self.point:
            os.kill(os.getpid(), signal.SIGKILL)


async def main(bootstrap: str, prefix: str, point: str) -> None:
    """Watch until dead."""
    log = KafkaLog(bootstrap)
    await log.start()
    points = Suicide(WatcherCrashPoint(point))
    await ReceiptWatcher(log, TopicNames(prefix), settings=FAST, crash_points=points).run()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
