"""Chance that a seed decides: ids, worker names and whatever else asks the system for random bytes or ids for a time.

The simulations run on a virtual clock and draw every choice of their own from a seeded generator; with this, what the
code under test draws is decided, too, and a seed (or the name of a test) is the whole of a run.
"""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace

import pytest
from hypothesis import register_random

from tasker_kafka.schemas import identity
from tasker_kafka.topics.memory import EPOCH_MS
from tasker_kafka.topics.memory.loop import VirtualTimeLoop

__all__ = ["seeded"]

_dice = random.Random()
# Hypothesis sets it anew before each example, so that an example repeats whatever ran before it.
register_random(_dice)


@contextmanager
def seeded(seed: int | str) -> Iterator[None]:
    """While inside, `os.urandom` draws from this seed, and ids are made at the time of the virtual clock.

    Names of temporary files and free ports are not touched: they have to differ between processes.
    """
    _dice.seed(seed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "urandom", _dice.randbytes)
        patch.setattr(identity, "time", SimpleNamespace(time_ns=_time_ns))
        yield


def _time_ns() -> int:
    """Of the running loop where its clock is virtual, else the moment in which virtual time begins."""
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        loop = None
    seconds = loop.time() if isinstance(loop, VirtualTimeLoop) else 0.0
    return EPOCH_MS * 1_000_000 + round(seconds * 1e9)
