"""From a function and its options to a checked `Subscription`: what is wrong is said where it is declared.

Functions and methods of classes come through here, so a rule about handlers stands once.
"""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args, get_origin, get_type_hints

from pydantic import PydanticSchemaGenerationError, PydanticUserError, TypeAdapter

from tasker_kafka.handlers.delivery.policy import DeliveryPolicy
from tasker_kafka.schemas.errors import ConfigurationError
from tasker_kafka.schemas.event_patterns import parse_patterns
from tasker_kafka.schemas.nearest import did_you_mean
from tasker_kafka.schemas.words import Delivery

from .event import DomainEvent
from .subscription import Subscription

__all__ = ["Handler", "Options", "checked_group", "declare"]

Handler = Callable[[DomainEvent[Any]], Any]
DeliveryName = Delivery | Literal["fire_and_forget", "durable", "acknowledged"]

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_GROUP = re.compile(r"[a-z0-9_-]{1,64}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What a subscription may say beside its events and its handler; see `Subscription`."""

    delivery: DeliveryName | None = None
    model: Any = None
    """None: as the handler's annotation says, `DomainEvent[Model]`."""
    headers: Mapping[str, str] = field(default_factory=dict)
    fields: Mapping[str, object] = field(default_factory=dict)
    should_process: Callable[[DomainEvent[Any]], bool] | None = None
    retry: DeliveryPolicy | None = None
    isolation: Literal["worker", "process"] = "worker"
    memory_mb: int | None = None


def checked_group(group: str) -> str:
    """The group itself; ConfigurationError unless it can be a part of the names of its retry topics."""
    if _GROUP.fullmatch(group) is None:
        raise ConfigurationError(
            f"the group {group[:80]!r} is not allowed", next_step="use 1 to 64 of a-z, 0-9, _ and -"
        )
    return group


def declare(
    name: str,
    patterns: Iterable[str],
    handler: Handler,
    options: Options,
    *,
    is_foreign: bool = False,
    names: Mapping[str, Any] | None = None,
) -> Subscription:
    """The checked subscription. ConfigurationError names it, the fault and the way out.

    is_foreign: the group reads topics of others only, so that no event name is reserved
    names: where annotations are looked up besides the handler's module
    """
    if _NAME.fullmatch(name) is None:
        raise ConfigurationError(
            f"the subscription {name[:80]!r} is not allowed: letters, digits, `_`, `.` and `-`, at most 128",
            next_step='give it a name: on("payment.*", name="record-payments")',
        )
    found = parse_patterns(patterns, is_foreign=is_foreign)
    _check_handler(name, handler)
    _check_isolation(name, handler, options.isolation, options.memory_mb)
    _check_filters(name, options)
    return Subscription(
        name=name,
        patterns=tuple(each.text for each in found.patterns),
        handler=handler,
        is_async=_is_async(handler),
        delivery=_delivery(name, options.delivery),
        model=_model(name, handler, options.model, names),
        headers=dict(options.headers),
        fields=dict(options.fields),
        should_process=options.should_process,
        policy=options.retry,
        isolation=options.isolation,
        memory_mb=options.memory_mb,
    )


# ----------------------------------------------------------------------------- the handler


def _is_async(handler: Handler) -> bool:
    # An object with an async `__call__` is one, too.
    return inspect.iscoroutinefunction(handler) or inspect.iscoroutinefunction(
        getattr(handler, "__call__", None)  # noqa: B004 - its function is wanted, not whether there is one
    )


def _check_handler(name: str, handler: Any) -> None:
    if not callable(handler) or isinstance(handler, type):
        raise ConfigurationError(
            f"subscription {name}: {handler!r} is no function",
            next_step="write a function that takes the event: async def record(event): ...",
        )
    if inspect.isgeneratorfunction(handler) or inspect.isasyncgenfunction(handler):
        raise ConfigurationError(
            f"subscription {name}: the handler is a generator, which nobody would run",
            next_step="take `yield` out: a handler does its work and returns",
        )
    try:
        inspect.signature(handler).bind(None)
    except TypeError:
        raise ConfigurationError(
            f"subscription {name}: the handler must take exactly one argument, the event; "
            f"it is {getattr(handler, '__name__', handler)}{inspect.signature(handler)}",
            next_step="give further parameters defaults, or bind them before (functools.partial)",
        ) from None


def _check_isolation(name: str, handler: Handler, isolation: str, memory_mb: int | None) -> None:
    if isolation not in {"worker", "process"}:
        raise ConfigurationError(
            f"subscription {name}: isolation {isolation!r} is neither 'worker' nor 'process'"
        )
    if isolation == "process" and (not inspect.isfunction(handler) or "<" in handler.__qualname__):
        raise ConfigurationError(
            f"subscription {name}: a child process cannot import its handler",
            next_step="move it to module level, as a plain or async function",
        )
    if memory_mb is not None and isolation != "process":
        raise ConfigurationError(
            f"subscription {name}: memory_mb needs a process of its own", next_step='add isolation="process"'
        )
    if memory_mb is not None and memory_mb <= 0:
        raise ConfigurationError(f"subscription {name}: memory_mb must be greater than 0")


def _check_filters(name: str, options: Options) -> None:
    # Not every caller has a type checker, and a filter that is no text would fit nothing.
    headers: Mapping[Any, Any] = options.headers
    fields: Mapping[Any, object] = options.fields
    hook: Any = options.should_process
    for header, value in headers.items():
        if not isinstance(header, str) or not isinstance(value, str):
            raise ConfigurationError(
                f"subscription {name}: the header filter {header!r}: {value!r} is not text",
                next_step='write text on both sides, as headers={"ce_source": "/tasker/payments"}',
            )
    for path in fields:
        if not isinstance(path, str) or not all(path.split(".")):
            raise ConfigurationError(
                f"subscription {name}: the field filter {path!r} is no path",
                next_step='write names joined by dots, as fields={"card.country": "FR"}',
            )
    if hook is not None and (not callable(hook) or _is_async(hook)):
        raise ConfigurationError(
            f"subscription {name}: should_process must be a plain function that answers at once",
            next_step="return True or False from the event alone; ask others in the handler",
        )


def _delivery(name: str, delivery: DeliveryName | None) -> Delivery | None:
    if delivery is None:
        return None
    try:
        return Delivery(delivery)
    except ValueError:
        hint = did_you_mean(str(delivery), [each.value for each in Delivery], kind="modes")
        raise ConfigurationError(
            f"subscription {name}: there is no delivery {str(delivery)[:40]!r}; {hint}"
        ) from None


# ----------------------------------------------------------------------------- the payload's model


def _model(name: str, handler: Handler, given: Any, names: Mapping[str, Any] | None) -> Any:
    annotated = _annotated_model(name, handler, given, names)
    if given is not None and annotated is not None and given != annotated:
        raise ConfigurationError(
            f"subscription {name}: model={_shown(given)}, but its handler takes DomainEvent[{_shown(annotated)}]",
            next_step="make them the same, or leave model= out",
        )
    model = annotated if given is None else given
    if model is None:
        return None
    try:
        TypeAdapter(model)
    except (PydanticSchemaGenerationError, PydanticUserError) as error:
        raise ConfigurationError(
            f"subscription {name}: payloads cannot be validated as {_shown(model)}: {error.message.splitlines()[0]}",
            next_step="use a pydantic model, a dataclass, a TypedDict or a builtin type",
        ) from None
    return model


def _annotated_model(name: str, handler: Handler, given: Any, names: Mapping[str, Any] | None) -> Any:
    """`Model` of `DomainEvent[Model]`; None where the annotation says nothing of the payload."""
    try:
        function = _annotated_function(handler)
        parameters = [*inspect.signature(handler).parameters]
        hints = get_type_hints(function, localns=dict(names or {}))
    except NameError as error:
        if given is not None:
            return None
        raise ConfigurationError(
            f"subscription {name}: the annotation of the event cannot be resolved: {error}",
            next_step="import the type at module level, outside `if TYPE_CHECKING`, or give model=",
        ) from None
    except (TypeError, ValueError):
        return None  # a builtin: nothing is annotated
    hint = hints.get(parameters[0])
    if get_origin(hint) is not DomainEvent:
        return None
    (model,) = get_args(hint)
    return None if model in {Any, object} else model


def _annotated_function(handler: Any) -> Any:
    """Where the annotations stand: in the function itself, or in the one that an object or a partial calls."""
    if isinstance(handler, functools.partial):
        return _annotated_function(handler.func)
    return inspect.unwrap(handler) if inspect.isroutine(handler) else type(handler).__call__


def _shown(model: Any) -> str:
    return getattr(model, "__name__", None) or str(model)
