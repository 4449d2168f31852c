"""Assembles the watcher's role: it verifies its topics, and watches until it is told to stop."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

from tasker_kafka.schemas.settings import Settings
from tasker_kafka.topics.configured import topic_plan
from tasker_kafka.topics.crash_points import NO_CRASH_POINTS, CrashPoints
from tasker_kafka.topics.declarations import group_tables
from tasker_kafka.topics.garbage import settle_garbage
from tasker_kafka.topics.log import Log
from tasker_kafka.topics.names import TopicNames
from tasker_kafka.topics.process import on_stop_signal, run_on_uvloop
from tasker_kafka.topics.provision import refuse, verify

if TYPE_CHECKING:
    from tasker_kafka.handlers.delivery.watching import WatcherCrashPoint

__all__ = ["run_watcher_role"]

_logger = logging.getLogger("tasker.watcher")


def run_watcher_role(
    connect: Callable[[], Log],
    settings: Settings,
    *,
    crash_points: CrashPoints[WatcherCrashPoint] = NO_CRASH_POINTS,
) -> None:
    """Watch the receipts of this system until told to stop. TopicsDrifted when its topics are not as declared.

    crash_points: told of every one that is passed (fault injection)
    """
    run_on_uvloop(_watch(connect, settings, crash_points))


async def _watch(
    connect: Callable[[], Log], settings: Settings, crash_points: CrashPoints[WatcherCrashPoint]
) -> None:
    from tasker_kafka.handlers.delivery.watcher import ReceiptWatcher
    from tasker_kafka.handlers.delivery.watching import watcher_settings

    names = TopicNames(settings.prefix)
    async with contextlib.AsyncExitStack() as opened:
        log = connect()
        opened.push_async_callback(log.close)
        await log.start()
        tables = group_tables(names, topic_plan(settings, settings.topics.partitions))
        refuse(await verify(log.admin(), tables))
        wanted = watcher_settings(settings.events)
        watcher = ReceiptWatcher(log, names, settings=wanted, crash_points=crash_points)
        on_stop_signal(watcher.stop)
        _logger.info(
            "watcher %s of %s: a receipt is missing after %g s",
            watcher.member_id, settings.prefix, wanted.deadline_seconds,
        )  # fmt: skip
        settle_garbage()
        await watcher.run()
