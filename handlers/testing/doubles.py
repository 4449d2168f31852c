"""Stands between the worker and the step handlers of a test: sees every call, injects failures, replaces handlers.

The worker runs a handler as it would in production, a plain function in a thread, an async one on the loop; only
`isolation="process"` is left out, since a child process would see neither failures nor replacements.
"""

from __future__ import annotations

import asyncio
import dataclasses
import functools
import threading
from collections.abc import Callable, Iterable, Mapping
from types import ModuleType
from typing import Any

import msgspec

from tasker_kafka.handlers.binding import Binding
from tasker_kafka.handlers.calls import StepCall
from tasker_kafka.handlers.context import StepContext
from tasker_kafka.handlers.definition import HandlerDefinition, definition_of, step_handler
from tasker_kafka.handlers.errors import RetryableError
from tasker_kafka.handlers.registry import HandlerRegistry
from tasker_kafka.handlers.results import StepFailure
from tasker_kafka.schemas.errors import ConfigurationError
from tasker_kafka.schemas.identity import format_id

__all__ = ["Doubles", "HandledCall", "HandlerSource", "InjectedError"]

InjectedError = BaseException | type[BaseException] | StepFailure
"""What an injected failure raises or returns."""
HandlerSource = ModuleType | HandlerRegistry | Callable[..., Any] | HandlerDefinition | str
"""A module (or its name), a registry, or one handler."""


@dataclasses.dataclass(frozen=True, slots=True)
class HandledCall:
    """One call of a step handler, as it began. Values are decoded JSON."""

    task_id: str
    step: str
    attempt: int
    handler: str
    context: Any
    inputs: Mapping[str, Any]
    """Direct parent → its result; None when it was bypassed or resolved by hand."""
    config: Mapping[str, Any]
    is_last_attempt: bool
    correlation_id: str


@dataclasses.dataclass(slots=True)
class _Injection:
    left: int | None
    error: InjectedError | None


class _CallBinding(Binding):
    """Hands the call itself on, for the double to bind when it knows which function is to run."""

    __slots__ = ()

    @property
    def needs_context(self) -> bool:
        """Always."""
        return True

    def arguments(self, call: StepCall, context: StepContext | None) -> dict[str, Any]:
        """As `Double.run_async` and `Double.run_plain` take them."""
        return {"call": call, "context": context}


class Double:
    """One handler name of a test, and what runs under it now."""

    def __init__(self, doubles: Doubles, definition: HandlerDefinition) -> None:
        self._doubles = doubles
        self.current = definition

    def definition(self) -> HandlerDefinition:
        """What the worker is given; it keeps it, so that what runs is looked up at each call."""
        current = self.current
        return HandlerDefinition(
            name=current.name,
            function=self.run_async if current.is_async else self.run_plain,
            is_async=current.is_async,
            binding=_CallBinding(current.binding.context_parameters, current.binding.parameters),
        )

    async def run_async(self, call: StepCall, context: StepContext) -> Any:
        """One call on the loop."""
        injected = self._doubles.begin(call)
        if injected is not None:
            return injected
        current = self.current
        target = functools.partial(current.target(), **current.binding.arguments(call, context))
        if current.is_async:
            return await target()
        return await asyncio.get_running_loop().run_in_executor(None, target)

    def run_plain(self, call: StepCall, context: StepContext) -> Any:
        """One call in a thread of the worker."""
        injected = self._doubles.begin(call)
        if injected is not None:
            return injected
        current = self.current
        value = current.target()(**current.binding.arguments(call, context))
        if current.is_async:  # it was replaced after the worker had begun to run a plain function
            return self._doubles.wait_on_loop(value)
        return value


class Doubles(HandlerRegistry):
    """The handlers of a test."""

    def __init__(self, sources: Iterable[HandlerSource] = ()) -> None:
        super().__init__()
        self._doubles: dict[str, Double] = {}
        self._injections: dict[str, _Injection] = {}
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self.calls: list[HandledCall] = []
        """Every call of a handler, in the order they began."""
        for source in sources:
            self.add(source)

    def add(self, source: HandlerSource) -> None:
        """Take in the handlers of a module (or its name), of a registry, or one handler."""
        if isinstance(source, str):
            self.load(source)
        elif isinstance(source, ModuleType):
            self.load(source.__name__)
        elif isinstance(source, HandlerRegistry):
            for definition in (*source, *source.publishers.values()):
                self.include(definition)
        else:
            self.include(source)

    def replace(self, name: str, function: Callable[..., Any] | HandlerDefinition) -> None:
        """Run `function`, decorated or not, wherever templates say `name`, from the next call on."""
        definition = definition_of(function)
        if definition is None:
            definition = definition_of(step_handler(name)(_undecorated(function)))
            assert definition is not None, "it has just been declared"
        renamed = dataclasses.replace(definition, name=name, isolation="worker")
        known = self._doubles.get(name)
        if known is not None:
            known.current = renamed
            return
        super().register(renamed)
        self._doubles[name] = Double(self, renamed)

    def fail(self, step: str, times: int | None, error: InjectedError | None) -> None:
        """Fail the next `times` calls of the step; None: every call."""
        with self._lock:
            self._injections[step] = _Injection(times, error)

    # ---------------------------------------------------------------------------------- as a registry

    def register(self, handler: object) -> HandlerDefinition:
        """As the worker's own; a name that is taken already must be the same code."""
        definition = super().register(handler)
        self._doubles.setdefault(definition.name, Double(self, definition))
        return definition

    def get(self, name: str) -> HandlerDefinition | None:
        """The double of this name."""
        double = self._doubles.get(name)
        return None if double is None else double.definition()

    # ----------------------------------------------------------------------------------- for doubles

    def follow(self, loop: asyncio.AbstractEventLoop) -> None:
        """The loop on which the worker runs."""
        self._loop = loop

    def begin(self, call: StepCall) -> StepFailure | None:
        """Note a call; raise or return the failure that is to be injected into it."""
        seen = HandledCall(
            task_id=format_id(call.task_id),
            step=call.step,
            attempt=call.attempt,
            handler=call.handler,
            context=msgspec.json.decode(call.context),
            inputs={name: _decoded(data) for name, data in call.inputs.items()},
            config=call.config,
            is_last_attempt=call.is_last_attempt,
            correlation_id=call.correlation_id,
        )
        with self._lock:
            self.calls.append(seen)
            injection = self._injections.get(call.step)
            if injection is None or injection.left == 0:
                return None
            if injection.left is not None:
                injection.left -= 1
        error = injection.error
        if isinstance(error, StepFailure):
            return error
        if isinstance(error, BaseException):
            raise error.with_traceback(None)
        raise (error or RetryableError)(f"the test lets step {call.step} fail")

    def wait_on_loop(self, value: Any) -> Any:
        """Wait in a thread for what an async function has begun."""
        if self._loop is None:
            raise ConfigurationError("handlers run only while the workflow test is entered")
        return asyncio.run_coroutine_threadsafe(value, self._loop).result()


def _decoded(data: bytes | None) -> Any:
    return None if data is None else msgspec.json.decode(data)


def _undecorated(function: object) -> Callable[..., Any]:
    """A function of its own around it, so that declaring leaves the caller's as it is."""
    if isinstance(function, type) or not callable(function):
        raise ConfigurationError(
            f"{function!r} cannot stand in for a handler",
            next_step="give a function, or a StepHandler class with a name",
        )
    if asyncio.iscoroutinefunction(function):

        @functools.wraps(function)
        async def stand_in(*args: Any, **kwargs: Any) -> Any:
            return await function(*args, **kwargs)

        return stand_in

    @functools.wraps(function)
    def plain_stand_in(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    return plain_stand_in
