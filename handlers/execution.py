"""Runs one call of a handler to its end: arguments, the handler itself, its result or failure.

The same on the worker's loop, in a thread, in a child process and in tests. Every error becomes a `Failed`,
`SystemExit` included: a handler that exits must not end its worker.
"""

from __future__ import annotations

import asyncio

from .calls import StepCall, StepServices
from .context import StepContext
from .definition import HandlerDefinition
from .errors import ResultError
from .failures import bounded, end_of_error
from .results import CallEnd, Failed, end_of_value
from .tracing import current_step

__all__ = ["run_async", "run_plain"]


async def run_async(definition: HandlerDefinition, call: StepCall, services: StepServices) -> CallEnd:
    """Run an async handler. Only CancelledError and KeyboardInterrupt leave it."""
    try:
        context = StepContext(call, services) if definition.binding.needs_context else None
        arguments = definition.binding.arguments(call, context)
        with current_step(call.traceparent):
            value = await definition.target()(**arguments)
        return _end(value)
    except (asyncio.CancelledError, KeyboardInterrupt, GeneratorExit):
        raise
    except BaseException as error:
        return end_of_error(error)


def run_plain(definition: HandlerDefinition, call: StepCall, services: StepServices) -> CallEnd:
    """Run a handler that is a plain function, in the calling thread. Only KeyboardInterrupt leaves it."""
    try:
        context = StepContext(call, services) if definition.binding.needs_context else None
        arguments = definition.binding.arguments(call, context)
        with current_step(call.traceparent):
            value = definition.target()(**arguments)
        if hasattr(value, "__await__"):
            close = getattr(value, "close", None)
            if close is not None:
                close()
            raise ResultError(
                "the handler returned an awaitable: declare it `async def`, or await before returning"
            )
        return _end(value)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        return end_of_error(error)


def _end(value: object) -> CallEnd:
    end = end_of_value(value)
    return Failed(bounded(end.failure), end.metadata) if isinstance(end, Failed) else end
