"""Waits on the test's clock: a condition is asked again and again, the longer it takes, the more rarely."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

__all__ = ["answer", "asked", "poll"]

T = TypeVar("T")


async def answer(ask: Callable[[], T]) -> T:
    """What `ask` returns, asked on the loop."""
    return ask()


def asked(condition: Callable[[], bool]) -> Callable[[], Coroutine[Any, Any, bool]]:
    """A plain condition in the form that `poll` takes."""

    async def ask() -> bool:
        return condition()

    return ask


async def poll(
    condition: Callable[[], Coroutine[Any, Any, bool]], seconds: float, poll_seconds: float
) -> bool:
    """Ask until the answer is yes, or the time is over; the longer it takes, the more rarely."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    while not await condition():
        waited = loop.time() - began
        if waited >= seconds:
            return False
        await asyncio.sleep(min(max(poll_seconds, 0.01 * waited), seconds - waited))
    return True
