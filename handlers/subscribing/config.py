"""The typed config of a subscriber class: from a mapping, as a file gives it, to the annotated type.

A key that the type does not know is an error even where the type itself would ignore it: a misspelt `chanel` must
not silently leave the default channel in place.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

from pydantic import BaseModel, PydanticSchemaGenerationError, PydanticUserError, TypeAdapter, ValidationError

from tasker_kafka.schemas.errors import ConfigurationError
from tasker_kafka.schemas.findings import Fault, Path, path_text
from tasker_kafka.schemas.nearest import did_you_mean

__all__ = ["config_faults", "config_model", "typed_config"]


def config_model(kind: type, base: type) -> Any:
    """The annotation of `config` in the class or one between it and `base`; None where there is none."""
    above = kind.__mro__[: kind.__mro__.index(base)]
    if not any("config" in vars(each).get("__annotations__", {}) for each in above):
        return None
    try:
        return get_type_hints(kind)["config"]
    except NameError as error:
        raise ConfigurationError(
            f"{kind.__name__}: the type of config cannot be resolved: {error}",
            next_step="define it at module level, outside `if TYPE_CHECKING`",
        ) from None


def typed_config(model: Any, value: object, owner: str) -> Any:
    """The value as the model. ConfigurationError names the owner and every faulty key."""
    faults = [*config_faults(model, value)]
    if faults:
        lines = [f"{path_text(('config', *each.path))}: {each.message}" for each in faults]
        raise ConfigurationError(
            f"{owner}: " + "\n".join(lines),
            next_step="give it as `config` in a subscriptions file, or to the class",
        )
    if model is None:
        return None
    return TypeAdapter(model).validate_python({} if value is None else value)


def config_faults(model: Any, value: object) -> Iterator[Fault]:
    """What is wrong with a config, with the path of each fault below the config. No value is ever shown."""
    if model is None:
        if value not in (None, {}):
            yield Fault(
                (), "no_config", "the class takes no config; annotate it there, as `config: AlertConfig`"
            )
        return
    value = {} if value is None else value
    unknown = [*_unknown_keys(model, value, ())]
    yield from unknown
    try:
        TypeAdapter(model).validate_python(value)
    except ValidationError as error:
        known = {each.path for each in unknown}
        for each in error.errors(include_url=False, include_input=False, include_context=False):
            if each["loc"] not in known:
                yield Fault(each["loc"], str(each["type"]), str(each["msg"]))
    except (PydanticSchemaGenerationError, PydanticUserError) as error:
        message = f"its type cannot be validated: {error.message.splitlines()[0]}"
        yield Fault((), "bad_type", message)


def _unknown_keys(model: Any, value: object, path: Path) -> Iterator[Fault]:
    """Keys that no field takes, here and in nested models; of a union as the nearest of its types sees it."""
    if get_origin(model) is Annotated:
        model = get_args(model)[0]
    if get_origin(model) in {Union, UnionType}:
        found = [[*_unknown_keys(each, value, path)] for each in get_args(model) if _may_hold(each, value)]
        yield from min(found, key=len, default=[])
        return
    if isinstance(value, list | tuple):
        inner = get_args(model)[:1] if get_origin(model) in {list, tuple} else _parts(model)
        for part in inner:
            for position, each in enumerate(value):
                yield from _unknown_keys(part, each, (*path, position))
        return
    if not isinstance(value, Mapping):
        return
    fields = _fields(model)
    if fields is None:
        for part in _parts(model):
            yield from _unknown_keys(part, value, path)
        return
    for key, each in value.items():
        if key not in fields:
            yield Fault((*path, str(key)), "unknown_key", f"unknown key; {did_you_mean(str(key), fields)}")
        else:
            yield from _unknown_keys(fields[key], each, (*path, key))


def _may_hold(model: Any, value: object) -> bool:
    """Whether a mapping or a list may be given for this type at all."""
    if get_origin(model) is Annotated:
        model = get_args(model)[0]
    kind = get_origin(model) or model
    if not isinstance(kind, type):
        return True
    if isinstance(value, Mapping):
        return issubclass(kind, BaseModel | Mapping) or dataclasses.is_dataclass(kind)
    return isinstance(value, list | tuple) and issubclass(kind, Iterable) and kind is not str


def _fields(model: Any) -> dict[str, Any] | None:
    """Key → type of its value; None for what has no fixed keys."""
    if isinstance(model, type) and issubclass(model, BaseModel):
        if model.model_config.get("extra") == "allow":
            return None
        found: dict[str, Any] = {}
        for name, each in model.model_fields.items():
            found[each.alias or name] = each.annotation
            if each.alias and model.model_config.get("populate_by_name"):
                found[name] = each.annotation
        return found
    if isinstance(model, type) and dataclasses.is_dataclass(model):
        hints = get_type_hints(model)
        return {each.name: hints[each.name] for each in dataclasses.fields(model)}
    return None


def _parts(model: Any) -> tuple[Any, ...]:
    """The types that a container holds; none that could hold a model of anything else."""
    origin = get_origin(model)
    if origin is None or origin in {dict, Mapping}:
        return ()
    return get_args(model)
