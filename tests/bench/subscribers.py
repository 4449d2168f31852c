"""Groups whose handlers only note when an event came; what they noted is written when the process ends."""

from __future__ import annotations

import atexit
import json
import os
import time
from pathlib import Path
from typing import Any

from tasker_kafka.handlers import DomainEvent, Subscriber

__all__ = ["GROUPS", "NOTES"]

NOTES = "BENCH_EVENTS_NOTES"
"""Variable: the folder for `<process id>.json`, a list of [number, fired at ms, handled at ms]."""
GROUPS = ("one", "two", "three")

_seen: list[tuple[int, float, float]] = []

one, two, three = (Subscriber(name) for name in GROUPS)


@one.on("**")
@two.on("**")
@three.on("**")
async def note(event: DomainEvent[Any]) -> None:
    """As little as a handler can do."""
    _seen.append((event.payload["number"], event.metadata.fired_at.timestamp() * 1000, time.time() * 1000))


def _write() -> None:
    folder = os.environ.get(NOTES)
    if folder is not None and _seen:
        (Path(folder) / f"{os.getpid()}.json").write_text(json.dumps(_seen))


atexit.register(_write)
