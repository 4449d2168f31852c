"""Step handlers of the recovery tests: `tasker worker -m tests.faults.recovery_handlers`.

Each writes its start into the ledger that its step's configuration names, as its first act: so a handler that ends its
process has been counted.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
from functools import lru_cache

from tasker_kafka.handlers import StepContext, step_handler
from tests.checker.ledger import LedgerWriter

__all__ = ["HOW_TO_DIE"]


@lru_cache
def _ledger(folder: str) -> LedgerWriter:
    return LedgerWriter(folder, "handlers")


def _note_start(context: StepContext) -> None:
    _ledger(context.config["ledger"]).started(
        task_id=context.task_id,
        life=context.life,
        step=context.step,
        attempt=context.attempt,
        attempt_id=context.attempt_id,
    )


@step_handler("recovery.work")
async def work(context: StepContext) -> None:
    """Takes as many seconds as configured."""
    _note_start(context)
    await asyncio.sleep(context.config.get("seconds", 0.0))
    _ledger(context.config["ledger"]).ended(
        task_id=context.task_id,
        life=context.life,
        step=context.step,
        attempt=context.attempt,
        attempt_id=context.attempt_id,
        outcome="success",
    )


def _segfault() -> None:
    ctypes.string_at(0)


def _allocate() -> None:
    kept = []
    while True:
        kept.append(bytearray(16 * 1024 * 1024))


HOW_TO_DIE = {"segfault": _segfault, "abort": os.abort, "exit": lambda: os._exit(3), "allocate": _allocate}


@step_handler("recovery.die")
async def die(context: StepContext) -> None:
    """Ends its worker, as configured."""
    _note_start(context)
    HOW_TO_DIE[context.config["how"]]()


@step_handler("recovery.die_apart", isolation="process", memory_mb=1024)
def die_apart(context: StepContext) -> None:
    """Ends its own child process, as configured."""
    _note_start(context)
    HOW_TO_DIE[context.config["how"]]()
