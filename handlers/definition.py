"""How a step handler is declared: a decorated function, or a class with `call`.

Decorating registers nothing; it attaches a `HandlerDefinition`, and a `HandlerRegistry` collects what a module
holds. So importing a module of handlers has no effect on anything global.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, TypeVar

from tasker_kafka.schemas.errors import ConfigurationError

from .binding import Binding, bind_signature

__all__ = ["HandlerDefinition", "Isolation", "StepHandler", "definition_of", "step_handler"]

F = TypeVar("F", bound=Callable[..., Any])
Isolation = Literal["worker", "process"]
"""`worker`: on the worker's loop (async) or in one of its threads (plain functions); `process`: in a child process."""

_ATTRIBUTE = "__tasker_step_handler__"
_NAME = re.compile(r"[a-z0-9_]{1,64}(\.[a-z0-9_]{1,64})*")


@dataclass(frozen=True, slots=True)
class HandlerDefinition:
    """A step handler: its name, its code, and how it wants to be run."""

    name: str
    function: Callable[..., Any]
    """The function itself, or a `StepHandler` class."""
    is_async: bool
    binding: Binding
    isolation: Isolation = "worker"
    memory_mb: int | None = None
    time_limit_seconds: float | None = None
    _made: list[StepHandler] = field(default_factory=list, compare=False, repr=False)

    @property
    def place(self) -> str:
        """`module:name`, from which another process can import it."""
        return f"{self.function.__module__}:{self.function.__qualname__}"

    def target(self) -> Callable[..., Any]:
        """What is called: the function, or `call` of the class's one instance, made at the first use."""
        if not isinstance(self.function, type):
            return self.function
        if not self._made:
            self._made.append(self.function())
        return self._made[0].call


def step_handler(
    name: str,
    *,
    isolation: Isolation = "worker",
    memory_mb: int | None = None,
    time_limit_seconds: float | None = None,
) -> Callable[[F], F]:
    """Declare a function, async or plain, as the step handler `name` (as templates' `handler.callable` says it).

    `isolation="process"` runs it in a child process, which survives neither `memory_mb` (address space, above
    which allocations fail) nor `time_limit_seconds` (at most the step's own timeout); the worker survives both.
    The function itself stays as it was and can be called in tests.
    """

    frame = inspect.currentframe()
    names = frame.f_back.f_locals if frame is not None and frame.f_back is not None else {}

    def declare(function: F) -> F:
        definition = _define(
            name,
            function,
            names,
            isolation=isolation,
            memory_mb=memory_mb,
            time_limit_seconds=time_limit_seconds,
        )
        setattr(function, _ATTRIBUTE, definition)
        return function

    return declare


class StepHandler:
    """A step handler as a class: set `name` and write `call`, async or plain, with a handler's parameters.

    One instance per process serves all calls, at the same time; it is made without arguments at the first call.
    """

    name: ClassVar[str]
    isolation: ClassVar[Isolation] = "worker"
    memory_mb: ClassVar[int | None] = None
    time_limit_seconds: ClassVar[float | None] = None

    call: Callable[..., Any]

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if not {"name", "call"} & set(cls.__dict__) or not (hasattr(cls, "name") and hasattr(cls, "call")):
            return  # an abstract class in between, or one that only changes how the same handler works
        frame = inspect.currentframe()
        names = frame.f_back.f_locals if frame is not None and frame.f_back is not None else {}
        definition = _define(
            cls.name,
            cls,
            names,
            isolation=cls.isolation,
            memory_mb=cls.memory_mb,
            time_limit_seconds=cls.time_limit_seconds,
        )
        setattr(cls, _ATTRIBUTE, definition)


def definition_of(handler: object) -> HandlerDefinition | None:
    """What `step_handler` or `StepHandler` attached to this very object; None when it is no handler.

    ConfigurationError when a decorator was put around a handler.
    """
    if isinstance(handler, HandlerDefinition):
        return handler
    found = vars(handler).get(_ATTRIBUTE) if hasattr(handler, "__dict__") else None
    if not isinstance(found, HandlerDefinition):
        return None
    if (
        found.function is not handler
    ):  # functools.wraps copied the mark: the decorator around it would not run
        raise ConfigurationError(
            f"handler {found.name} is wrapped by another decorator, which would not run",
            next_step="put @step_handler first, above the other decorators",
        )
    return found


def _define(
    name: str,
    function: Callable[..., Any],
    names: Mapping[str, Any],
    *,
    isolation: Isolation,
    memory_mb: int | None,
    time_limit_seconds: float | None,
) -> HandlerDefinition:
    if not _NAME.fullmatch(name):
        raise ConfigurationError(
            f"handler name {name!r} is not allowed",
            next_step="use parts of a–z, 0–9 and _ (1–64 each), joined by dots: checkout.charge_card",
        )
    is_class = isinstance(function, type)
    called = inspect.getattr_static(function, "call") if is_class else function
    if (
        not inspect.isroutine(called)
        or inspect.isgeneratorfunction(called)
        or inspect.isasyncgenfunction(called)
    ):
        raise ConfigurationError(f"handler {name} is neither a function nor a coroutine function")
    _check_isolation(name, function, isolation, memory_mb, time_limit_seconds)
    return HandlerDefinition(
        name=name,
        function=function,
        is_async=inspect.iscoroutinefunction(called),
        binding=bind_signature(called, name, names, skip_first=is_class),
        isolation=isolation,
        memory_mb=memory_mb,
        time_limit_seconds=time_limit_seconds,
    )


def _check_isolation(
    name: str,
    function: Callable[..., Any],
    isolation: Isolation,
    memory_mb: int | None,
    time_limit_seconds: float | None,
) -> None:
    if isolation not in {"worker", "process"}:
        raise ConfigurationError(f"handler {name}: isolation {isolation!r} is neither 'worker' nor 'process'")
    limits = [each for each in (memory_mb, time_limit_seconds) if each is not None]
    if isolation == "worker" and limits:
        raise ConfigurationError(
            f"handler {name}: memory_mb and time_limit_seconds need a process of their own",
            next_step='add isolation="process"',
        )
    if any(each <= 0 for each in limits):
        raise ConfigurationError(f"handler {name}: memory_mb and time_limit_seconds must be greater than 0")
    if isolation == "process" and "<locals>" in function.__qualname__:
        raise ConfigurationError(
            f"handler {name} is defined inside a function, where a child process cannot import it",
            next_step="move it to module level",
        )
