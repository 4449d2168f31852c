"""Ready-made step handlers for tests: the same answer always, or failures before it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Coroutine
from typing import Any

from tasker_kafka.handlers.context import StepContext
from tasker_kafka.handlers.errors import RetryableError

from .doubles import InjectedError

__all__ = ["always", "fail_times"]

Handler = Callable[..., Coroutine[Any, Any, Any]]


def always(result: Any = None) -> Handler:
    """A handler that returns `result`; raises it, if it is an exception."""

    async def answer() -> Any:
        if isinstance(result, BaseException):
            raise result.with_traceback(None)
        return result

    return answer


def fail_times(times: int, *, then: Any = None, error: InjectedError = RetryableError) -> Handler:
    """A handler whose first `times` attempts of each step of each task fail with `error`; later ones return `then`."""
    failed: Counter[tuple[str, str]] = Counter()

    async def answer(context: StepContext) -> Any:
        place = (context.task_id, context.step)
        failed[place] += 1
        if failed[place] > times:
            return then
        if isinstance(error, BaseException):
            raise error.with_traceback(None)
        if isinstance(error, type):
            raise error(f"attempt {context.attempt} is meant to fail")
        return error

    return answer
