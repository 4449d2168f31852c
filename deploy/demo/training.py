"""Keeps the promise that nothing is left running: the broker's AOT cache is trained in the demo's own time.

A first start of the embedded broker leaves a low-priority process behind, which makes the next starts faster. The demo
does the same work before it ends, and says so.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final

from rich.console import Console

from tasker_kafka.schemas.errors import TaskerError
from tasker_kafka.topics.brokers.aot import failed_lately
from tasker_kafka.topics.brokers.runtime import Runtime
from tasker_kafka.topics.brokers.training import train

__all__ = ["trained_in_time"]

VARIABLE: Final = "TASKER_BROKER_AOT"


@contextmanager
def trained_in_time(console: Console) -> Iterator[None]:
    """Around the broker's life: no training in the background; where the cache is missing, it is made afterwards."""
    cache = Runtime.prepare().aot_cache
    if cache is None or cache.is_file() or failed_lately(cache) or os.environ.get(VARIABLE) == "0":
        yield
        return
    os.environ[VARIABLE] = "0"
    try:
        yield
    finally:
        del os.environ[VARIABLE]
    console.print("preparing the next start of the broker, once")
    with suppress(TaskerError):  # noted by `train` itself; the cache only saves a second
        train(Runtime.prepare())
