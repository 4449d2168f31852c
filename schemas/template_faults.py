"""Turns what pydantic says into what an author needs: path, fault, and what to write instead."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from pydantic import BaseModel, ValidationError

from .findings import Fault, Path
from .nearest import did_you_mean, nearest
from .template_models import (
    HandlerModel,
    LifecycleModel,
    RetryModel,
    StepEventModel,
    StepModel,
    TaskEventModel,
    TemplateModel,
)

__all__ = ["REFUSED_KEYS", "model_faults"]

_TEMPLATE_REFUSED: Final = {
    "named_steps": "the list of `steps` says it; take the key out",
    "step_templates": "write the steps under `steps`",
    "schema": "write the JSON Schema of the context under `input_schema`",
    "handler_class": "each step names its own handler: `steps[].handler.callable`",
    "task_handler_class": "each step names its own handler: `steps[].handler.callable`",
    "task_handler": "the engine runs the task; each step names its own handler: `steps[].handler.callable`",
    "module_namespace": "handlers are registered by name: `steps[].handler.callable`",
    "default_dependent_system": "a system is no property of a template; note it in `metadata`",
    "default_retry_limit": "write `retry.max_attempts` in the step",
    "default_retryable": "write `retry.retryable` in the step",
    "system_dependency": "a system is no property of a template; note it in `metadata`",
    "system_dependencies": "systems are no property of a template; note them in `metadata`",
    "domain_events": "write the events under `publishes_events`, of the step or of the template",
    "custom_events": "write the events under `publishes_events`",
    "event_subscriptions": "it belongs into a subscriptions file, served by `tasker subscriber --config FILE`",
    "priority": "tasks run in the order of their requests; use a `queue` with workers of its own for urgent steps",
    "skippable": "name steps to skip in the request's `bypass_steps`, or resolve them as an operator",
    "dependencies": "dependencies stand in the steps",
    "retry": "write `retry` in each step",
    "queue": "write `queue` in each step; the default is the template's namespace",
    "timeout_seconds": "write `timeout_seconds` in each step, or `lifecycle.max_duration_seconds` for the whole task",
}
_STEP_REFUSED: Final = {
    "depends_on_step": "write `dependencies: [name]`",
    "depends_on_steps": "write `dependencies: [name, …]`",
    "handler_class": "write the registered name under `handler.callable`",
    "handler_config": "write it under `handler.initialization`",
    "dependent_system": "use a `queue` of its own for steps that share a system",
    "system_dependency": "use a `queue` of its own for steps that share a system",
    "skippable": "name steps to skip in the request's `bypass_steps`, or resolve them as an operator",
    "priority": "ready steps run in the template's order; use a `queue` with workers of its own for urgent steps",
    "default_retry_limit": "write `retry.max_attempts`",
    "retry_limit": "write `retry.max_attempts`",
    "default_retryable": "write `retry.retryable`",
    "retryable": "write `retry.retryable`",
    "custom_events": "write the events under `publishes_events`",
    "event_subscriptions": "it belongs into a subscriptions file, served by `tasker subscriber --config FILE`",
    "step_type": "write `type`",
}
_HANDLER_REFUSED: Final = {
    "method": "register another step handler for the other method and name it under `handler.callable`",
    "resolver": "handlers are found by their registered name alone; write it under `handler.callable`",
    "config": "write it under `handler.initialization`; the handler reads it as `context.config`",
}
_RETRY_REFUSED: Final = {
    "limit": "write `max_attempts`",
    "backoff_multiplier": "`backoff: exponential` doubles; choose `linear`, `fibonacci` or `none` for others",
    "initial_delay": "write `backoff_base_ms`",
    "max_delay": "write `max_backoff_ms`",
}

REFUSED_KEYS: Final[Mapping[type[BaseModel], Mapping[str, str]]] = {
    TemplateModel: _TEMPLATE_REFUSED,
    StepModel: _STEP_REFUSED,
    HandlerModel: _HANDLER_REFUSED,
    RetryModel: _RETRY_REFUSED,
}
"""Keys of the original Tasker, and near misses, that have no effect here: what to use instead."""

_ALIASES: Final[Mapping[type[BaseModel], frozenset[str]]] = {
    TemplateModel: frozenset({"namespace_name"}),
    StepModel: frozenset({"depends_on"}),
}
_MODELS: Final[Mapping[Path, type[BaseModel]]] = {
    (): TemplateModel,
    ("lifecycle",): LifecycleModel,
    ("publishes_events",): TaskEventModel,
    ("steps",): StepModel,
    ("steps", "handler"): HandlerModel,
    ("steps", "retry"): RetryModel,
    ("steps", "publishes_events"): StepEventModel,
}
"""The model of a mapping by its path without positions."""

_KINDS: Final = {
    "string_type": "text",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "list_type": "a list",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
}
_OPTION: Final = re.compile(r"'([^']*)'")


def model_faults(error: ValidationError) -> Iterator[Fault]:
    """Each error of a `TemplateModel` as a fault with its path."""
    for each in error.errors(include_url=False):
        path: Path = tuple(item for item in each["loc"] if not str(item).startswith("function-"))
        yield Fault(path, *_describe(path, dict(each)))


def _describe(path: Path, error: Mapping[str, Any]) -> tuple[str, str]:
    kind, value = str(error["type"]), error["input"]
    if kind == "extra_forbidden":
        return _unknown_key(path)
    if kind == "missing":
        return "missing_key", "the key is required and missing"
    if kind in _KINDS:
        return "wrong_type", f"must be {_KINDS[kind]}, it is {_kind_of(value)}{_advice(path, kind, value)}"
    if kind == "literal_error":
        options = _OPTION.findall(error["ctx"]["expected"])
        meant = nearest(value, options) if isinstance(value, str) else None
        hint = "" if meant is None else f"; did you mean `{meant}`?"
        return "unknown_value", f"must be one of {', '.join(options)}, it is {_shown(value)}{hint}"
    if kind in {"string_too_short", "string_too_long"}:
        return "bad_length", str(error["msg"]).replace("String", "the text").replace("should", "must")
    if kind == "finite_number":
        return "not_a_number", "must be a finite number"
    return kind, str(error["msg"])


def _unknown_key(path: Path) -> tuple[str, str]:
    *place, key = path
    model = _MODELS.get(tuple(item for item in place if isinstance(item, str)))
    refused = REFUSED_KEYS.get(model, {}) if model else {}
    if key in refused:
        return "refused_key", f"`{key}` has no effect here: {refused[str(key)]}"
    known = {field.alias or name for name, field in model.model_fields.items()} if model else set()
    known |= _ALIASES.get(model, frozenset()) if model else frozenset()
    return "unknown_key", f"unknown key; {did_you_mean(str(key), known)}"


def _advice(path: Path, kind: str, value: Any) -> str:
    if kind == "string_type" and isinstance(value, (int, float)) and not isinstance(value, bool):
        return f'; quote it: "{value}"'
    if kind.startswith(("int", "float")) and isinstance(value, str) and value.replace(".", "", 1).isdigit():
        return "; take the quotes away"
    if path[-1:] == ("handler",) and isinstance(value, str):
        return f"; write handler: {{callable: {value}}}"
    if kind == "list_type" and isinstance(value, str):
        return f"; write [{value}]"
    return ""


def _kind_of(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, (bool, int, float)):
        return _shown(value)
    if isinstance(value, str):
        return f"the text {value[:40]!r}"
    if isinstance(value, (list, tuple)):
        return "a list"
    return "a mapping" if isinstance(value, Mapping) else f"a {type(value).__name__}"


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return repr(value)[:60]
