"""From a handler's signature to its arguments.

The rule, for functions and for `StepHandler.call` alike:

- annotated `StepContext`: the context of the attempt;
- `Annotated[T, result_of("step")]`: the result of that direct parent, validated as `T`;
- `Annotated[T, task_context()]`, or **one** parameter without a mark and without a default: the task's
  context, validated as `T`;
- unmarked with a default: left alone.

`T` is anything pydantic validates. A parent that was bypassed or resolved by hand has no result: then the
parameter's default is used, else None if `T` allows None, else the attempt fails permanently.
"""

from __future__ import annotations

import inspect
import types
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

from pydantic import PydanticSchemaGenerationError, PydanticUserError, TypeAdapter, ValidationError

from tasker_kafka.schemas.errors import ConfigurationError

from .calls import StepCall
from .context import StepContext
from .errors import InputError

__all__ = ["Binding", "Parameter", "bind_signature", "result_of", "task_context"]


@dataclass(frozen=True, slots=True)
class ResultOf:
    """Marks a parameter that takes a parent's result; made by `result_of`."""

    step: str


@dataclass(frozen=True, slots=True)
class TaskContext:
    """Marks a parameter that takes the task's context; made by `task_context`."""


def result_of(step: str) -> ResultOf:
    """For `Annotated[T, result_of("step")]`: this parameter is the result of the direct parent `step`."""
    return ResultOf(step)


def task_context() -> TaskContext:
    """For `Annotated[T, task_context()]`: this parameter is the task's context."""
    return TaskContext()


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter that a payload fills. `step` None: the task's context."""

    name: str
    step: str | None
    adapter: TypeAdapter[Any]
    is_optional: bool
    has_default: bool

    @property
    def accepts_absence(self) -> bool:
        """A parent without a result is no failure."""
        return self.is_optional or self.has_default

    def value(self, data: bytes) -> Any:
        """The payload as the parameter's type. InputError with the path of what does not fit."""
        try:
            return self.adapter.validate_json(data)
        except ValidationError as error:
            # Neither input nor context of the error: they could carry personal data into the log.
            first = error.errors(include_url=False, include_input=False, include_context=False)[0]
            place = ".".join(["$", *map(str, first["loc"])])
            more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
            source = "the task's context" if self.step is None else f"the result of step {self.step}"
            raise InputError(f"parameter {self.name}: {source} at {place}: {first['msg']}{more}") from None


@dataclass(frozen=True, slots=True)
class Binding:
    """How a handler's arguments come from a call."""

    context_parameters: tuple[str, ...]
    parameters: tuple[Parameter, ...]

    @property
    def needs_context(self) -> bool:
        """The handler takes a `StepContext`."""
        return bool(self.context_parameters)

    def arguments(self, call: StepCall, context: StepContext | None) -> dict[str, Any]:
        """The keyword arguments of one call. InputError names the parameter that cannot be filled."""
        found: dict[str, Any] = dict.fromkeys(self.context_parameters, context)
        for parameter in self.parameters:
            data = call.context if parameter.step is None else _result(call, parameter, parameter.step)
            if data is not None:
                found[parameter.name] = parameter.value(data)
            elif not parameter.has_default:
                found[parameter.name] = None
        return found


def _result(call: StepCall, parameter: Parameter, step: str) -> bytes | None:
    if step not in call.inputs:
        known = ", ".join(sorted(call.inputs)) or "none"
        raise InputError(
            f"parameter {parameter.name}: step {call.step} has no direct parent {step!r}; its parents: {known}"
        )
    data = call.inputs[step]
    if data is None and not parameter.accepts_absence:
        raise InputError(
            f"parameter {parameter.name}: step {step} was bypassed or resolved by hand and has no result; "
            "make the parameter optional (`T | None`) or complete the step with a result"
        )
    return data


def bind_signature(
    function: Callable[..., Any],
    handler: str,
    names: Mapping[str, Any] | None = None,
    *,
    skip_first: bool = False,
) -> Binding:
    """Read a handler's signature. ConfigurationError names the handler, the parameter and the way out.

    `names`: where annotations are looked up besides the function's module; `skip_first`: `self` of a method.
    """
    try:
        hints = get_type_hints(function, localns=dict(names or {}), include_extras=True)
    except NameError as error:
        raise ConfigurationError(
            f"handler {handler}: the annotation of a parameter cannot be resolved: {error}",
            next_step="import the type at module level, outside `if TYPE_CHECKING`",
        ) from None
    contexts: list[str] = []
    found: list[Parameter] = []
    parameters = list(inspect.signature(function).parameters.values())[1 if skip_first else 0 :]
    for parameter in parameters:
        hint = hints.get(parameter.name)
        if hint is StepContext:
            contexts.append(_named(parameter, handler))
        elif (mark := _mark(hint, parameter, handler)) is not None:
            found.append(_parameter(parameter, hint, mark, handler))
    _refuse_second_context(found, handler)
    return Binding(tuple(contexts), tuple(found))


def _mark(hint: Any, parameter: inspect.Parameter, handler: str) -> ResultOf | TaskContext | None:
    """What the parameter takes; None: it is left alone."""
    marks = (
        [each for each in get_args(hint)[1:] if isinstance(each, ResultOf | TaskContext)]
        if _annotated(hint)
        else []
    )
    if len(marks) > 1:
        raise ConfigurationError(f"handler {handler}: parameter {parameter.name} carries two marks; keep one")
    if marks:
        return marks[0]
    if parameter.default is not inspect.Parameter.empty or parameter.kind in _VARIADIC:
        return None
    if hint is None:
        raise ConfigurationError(
            f"handler {handler}: parameter {parameter.name} has no annotation",
            next_step='annotate it: StepContext, Annotated[T, result_of("step")] or the type of the task\'s context',
        )
    return TaskContext()


_VARIADIC = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


def _annotated(hint: Any) -> bool:
    return get_origin(hint) is Annotated


def _parameter(
    parameter: inspect.Parameter, hint: Any, mark: ResultOf | TaskContext, handler: str
) -> Parameter:
    try:
        adapter: TypeAdapter[Any] = TypeAdapter(hint)
    except (PydanticSchemaGenerationError, PydanticUserError) as error:
        raise ConfigurationError(
            f"handler {handler}: parameter {parameter.name} has a type that payloads cannot be validated as: "
            f"{error.message.splitlines()[0]}",
            next_step="use a pydantic model, a dataclass, a TypedDict or a builtin type; give services a default",
        ) from None
    step = mark.step if isinstance(mark, ResultOf) else None
    has_default = parameter.default is not inspect.Parameter.empty
    return Parameter(_named(parameter, handler), step, adapter, _allows_none(hint), has_default)


def _named(parameter: inspect.Parameter, handler: str) -> str:
    if parameter.kind is inspect.Parameter.POSITIONAL_ONLY:
        raise ConfigurationError(
            f"handler {handler}: parameter {parameter.name} is positional-only; arguments are given by name",
            next_step="remove the `/` from the signature",
        )
    return parameter.name


def _refuse_second_context(found: list[Parameter], handler: str) -> None:
    names = [each.name for each in found if each.step is None]
    if len(names) > 1:
        raise ConfigurationError(
            f"handler {handler}: {' and '.join(names)} would both take the task's context",
            next_step='mark what comes from a parent: Annotated[T, result_of("step")]',
        )


def _allows_none(hint: Any) -> bool:
    if _annotated(hint):
        return _allows_none(get_args(hint)[0])
    if get_origin(hint) in {Union, types.UnionType}:
        return any(_allows_none(each) for each in get_args(hint))
    return hint in {None, type(None), Any, object}
