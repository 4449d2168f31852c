"""Handlers of the tests that steer tasks: what fails until it is mended, what runs until it is cancelled, and a book.

STEERED_FOLDER is the folder in which the book lies (one line for each start), and in which `mended` and `van` appear.
"""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Annotated, Any

from tasker_kafka.handlers import PermanentError, StepContext, result_of, step_handler

TEMPLATES = """
name: parcel
namespace: steered
steps:
  - name: collect
    handler: {callable: steered.collect}
  - name: charge
    handler: {callable: steered.charge}
    dependencies: [collect]
  - name: ship
    handler: {callable: steered.ship}
    dependencies: [charge]
    timeout_seconds: 900  # the van comes when the test sends it
output: {shipped: $.ship}
---
name: vigil
namespace: steered
steps:
  - name: watch
    handler: {callable: steered.watch}
  - name: report
    handler: {callable: steered.collect}
    dependencies: [watch]
"""


def folder() -> Path:
    """Where book and sign are."""
    return Path(os.environ["STEERED_FOLDER"])


def book(context: StepContext, what: str) -> None:
    """One line, written at once: many processes may write."""
    with (folder() / "book").open("a") as file:
        file.write(f"{context.attempt_id} {what}\n")


@step_handler("steered.collect")
async def collect(context: StepContext) -> dict[str, bool]:
    """Always works."""
    book(context, "collect")
    return {"collected": True}


@step_handler("steered.charge")
async def charge(context: StepContext) -> dict[str, Any]:
    """Fails for good until somebody has mended it."""
    book(context, "charge")
    if not (folder() / "mended").exists():
        raise PermanentError("the card is refused", code="CARD_REFUSED")
    return {"receipt": context.attempt}


@step_handler("steered.ship")
async def ship(
    context: StepContext, charged: Annotated[dict[str, Any] | None, result_of("charge")]
) -> dict[str, Any] | None:
    """Gives back what it was given by `charge`, when the van is there."""
    book(context, "ship")
    while not (folder() / "van").exists():  # noqa: ASYNC110 - the sign comes from another process
        await asyncio.sleep(0.02)
    return charged


@step_handler("steered.watch")
async def watch(context: StepContext) -> None:
    """Runs until it is cancelled, and says so."""
    book(context, "watch")
    try:
        await asyncio.Event().wait()
    finally:
        book(context, "cancelled")
