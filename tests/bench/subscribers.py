"""Groups whose handlers only note when an event came; what they noted is written when the process ends."""

from __future__ import annotations

import asyncio
import atexit
import json
import os
import time
from pathlib import Path
from typing import Any

from tasker_kafka.handlers import DeliveryPolicy, DomainEvent, RetryableError, Subscriber

__all__ = ["DEAD", "DELAY_SECONDS", "FAILING", "GROUPS", "HEARD", "NOTES", "PARKING", "SLOW", "Note"]

NOTES = "BENCH_EVENTS_NOTES"
"""Variable: the folder for `<process id>.json`, a list of `Note`."""
Note = tuple[int, int, float, float]
"""Number of the event, the delivery's attempt, fired at (ms), handled at (ms)."""

GROUPS = ("one", "two", "three")
FAILING = "failing"
"""Fails as its events say; delays as the defaults have them."""
PARKING = "parking"
"""The same, with one delay of `DELAY_SECONDS`, which goes through a retry topic."""
HEARD, DEAD, SLOW = "heard", "dead", "slow"
"""Take nothing but the events of the namespace that is called like them."""
DELAY_SECONDS = 10
_SLOW_SECONDS = 1.0

_seen: list[Note] = []

one, two, three = (Subscriber(name) for name in GROUPS)
failing = Subscriber(FAILING)
parking = Subscriber(PARKING)
heard, dead, slow = (Subscriber(name, namespaces=[name]) for name in (HEARD, DEAD, SLOW))
# Every event fails once: the breaker would open at the fifth.
_PARKED = DeliveryPolicy(delays=(DELAY_SECONDS,), max_attempts=2, breaker_failures=0)


@one.on("**")
@two.on("**")
@three.on("**")
@heard.on("**")
@dead.on("**")
async def note(event: DomainEvent[Any]) -> None:
    """As little as a handler can do."""
    fired = event.metadata.fired_at.timestamp()
    _seen.append((event.payload.get("number", 0), event.delivery_attempt, fired * 1000, time.time() * 1000))


@failing.on("**")
@parking.on("**", retry=_PARKED)
async def fail_as_told(event: DomainEvent[Any]) -> None:
    """Fail the first `fails` times, and ask for `after` seconds, if the event says so."""
    await note(event)
    if event.delivery_attempt <= event.payload.get("fails", 0):
        raise RetryableError("it fails as told", retry_after=event.payload.get("after"))


@slow.on("**")
async def take_time(_: DomainEvent[Any]) -> None:
    """Wait for something else."""
    await asyncio.sleep(_SLOW_SECONDS)


def _write() -> None:
    folder = os.environ.get(NOTES)
    if folder is not None and _seen:
        (Path(folder) / f"{os.getpid()}.json").write_text(json.dumps(_seen))


atexit.register(_write)
