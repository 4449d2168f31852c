"""Step handlers of the fault runs: each writes its start and its end to the ledger.

What they do is said by the step's configuration, see `Work`.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from pathlib import Path
from typing import Any

import msgspec

from tasker_kafka.handlers import PermanentError, StepContext, step_handler
from tests.checker import LedgerWriter
from tests.faults.injection import KILLER_FAULT, LEDGER

_ledger = LedgerWriter(Path(os.environ[LEDGER]), "handlers") if LEDGER in os.environ else None


class Work(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a step does."""

    seconds: float = 0.0
    """How long it takes."""
    fail_times: int = 0
    """Attempts that fail, retryably."""
    is_hopeless: bool = False
    """It fails for good."""
    result_bytes: int = 0
    """At least this long is its result."""
    is_deadly: bool = False
    """It kills its own worker with SIGKILL."""


@step_handler("faults.work")
async def work(context: StepContext) -> dict[str, Any]:
    """On the worker's loop."""
    todo = _begin(context)
    try:
        if todo.seconds:
            await asyncio.sleep(todo.seconds)
        result = _do(context, todo)
    except BaseException:
        _end(context, "failure")
        raise
    _end(context, "success")
    return result


@step_handler("faults.publish")
async def publish(context: StepContext) -> dict[str, Any]:
    """Publishes what the task was asked to tell."""
    todo = _begin(context)
    await context.publish("order.paid", context.task_context)
    await asyncio.sleep(todo.seconds)
    _end(context, "success")
    return {}


@step_handler("faults.thread")
def thread(context: StepContext) -> dict[str, Any]:
    """In a thread."""
    todo = _begin(context)
    try:
        time.sleep(todo.seconds)
        result = _do(context, todo)
    except BaseException:
        _end(context, "failure")
        raise
    _end(context, "success")
    return result


def _do(context: StepContext, todo: Work) -> dict[str, Any]:
    if todo.is_deadly:
        assert _ledger is not None
        _ledger.fault(KILLER_FAULT, {"pid": os.getpid()})
        os.kill(os.getpid(), signal.SIGKILL)
    if todo.is_hopeless:
        raise PermanentError("this step never succeeds", code="hopeless")
    if context.attempt <= todo.fail_times:
        raise RuntimeError(f"attempt {context.attempt} fails as told")
    return {"attempt": context.attempt, "filling": "x" * todo.result_bytes}


def _begin(context: StepContext) -> Work:
    assert _ledger is not None, f"{LEDGER} names the ledger's folder"
    _ledger.started(
        task_id=context.task_id,
        life=context.life,
        step=context.step,
        attempt=context.attempt,
        attempt_id=context.attempt_id,
    )
    return msgspec.convert(context.config, Work)


def _end(context: StepContext, outcome: str) -> None:
    assert _ledger is not None, f"{LEDGER} names the ledger's folder"
    _ledger.ended(
        task_id=context.task_id,
        life=context.life,
        step=context.step,
        attempt=context.attempt,
        attempt_id=context.attempt_id,
        outcome=outcome,
    )
