"""The handlers of `dummy`: as little as a handler can be."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel

from tasker_kafka.handlers import result_of, step_handler

__all__ = ["Number", "Start", "four", "one", "three", "two"]


class Start(BaseModel):
    """The task's context."""

    start: int = 1


class Number(BaseModel):
    """What each step gives."""

    value: int


@step_handler("dummy.one")
async def one(context: Start) -> Number:
    """The number itself."""
    return Number(value=context.start)


@step_handler("dummy.two")
async def two(context: Start) -> Number:
    """Twice the number."""
    return Number(value=context.start * 2)


@step_handler("dummy.three")
async def three(before: Annotated[Number, result_of("two")]) -> Number:
    """One more than before."""
    return Number(value=before.value + 1)


@step_handler("dummy.four")
async def four(before: Annotated[Number, result_of("three")]) -> Number:
    """The square."""
    return Number(value=before.value**2)
