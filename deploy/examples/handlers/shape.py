"""Handlers for graphs of any shape (`shapes.py`): they do nothing, or fail as often as they are told to."""

from __future__ import annotations

from tasker_kafka.handlers import RetryableError, StepContext, step_handler

__all__ = ["flaky", "noop"]


@step_handler("shape.noop")
async def noop() -> None:
    """Done."""


@step_handler("shape.flaky")
async def flaky(context: StepContext) -> int:
    """Fail the first `fail_times` attempts (configuration; default 1), then give the number of the attempt."""
    fail_times = int(context.config.get("fail_times", 1))
    if context.attempt <= fail_times:
        raise RetryableError(f"failure {context.attempt} of {fail_times}", code="flaky")
    return context.attempt
