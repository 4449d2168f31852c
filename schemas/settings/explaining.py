"""What a setting means and where its value came from, for `tasker config explain`, `config show` and the docs."""

from __future__ import annotations

import types
import typing
from typing import Any

import msgspec

from tasker_kafka.schemas.errors import NotFoundError
from tasker_kafka.schemas.nearest import did_you_mean

from .loading import setting_keys, variable_of
from .model import Settings, field_at
from .secrets import HIDDEN, Secret
from .section import ZERO

__all__ = ["Explanation", "explain", "keys", "show"]


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """One setting, in words and with its present value."""

    key: str
    meaning: str
    kind: str
    """As `whole number`, `text or nothing`, `one of drop_oldest, drop_newest, block`."""
    default: Any
    zero: str | None
    """What 0 means; None where 0 is no value of it."""
    value: Any
    """The value in force; *** for a secret."""
    origin: str
    """`default`, a file, or `variable NAME`."""
    variable: str
    """The variable that sets it."""


def keys() -> tuple[str, ...]:
    """Every setting's dotted key."""
    return tuple(setting_keys())


def explain(settings: Settings, key: str) -> tuple[Explanation, ...]:
    """The setting of that key, or all settings of that section. NotFoundError names the nearest key."""
    found = [each for each in keys() if each == key or each.startswith(f"{key}.")]
    if not found:
        raise NotFoundError(
            f"there is no setting `{key[:80]}`; {did_you_mean(key, _all_names(), kind='settings')}",
            next_step="`tasker config show` lists every setting",
        )
    return tuple(_explain(settings, each) for each in found)


def show(settings: Settings) -> dict[str, Any]:
    """Every setting's value by its key; secrets as ***."""
    return {each: _shown(_value(settings, each)) for each in keys()}


def _explain(settings: Settings, key: str) -> Explanation:
    field = field_at(key)
    assert field is not None, key
    extra = field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}
    return Explanation(
        key=key,
        meaning=field.description or "",
        kind=_kind(field.annotation),
        default=_shown(field.default),
        zero=extra.get(ZERO),
        value=_shown(_value(settings, key)),
        origin=settings.origin(key),
        variable=variable_of(key),
    )


def _value(settings: Settings, key: str) -> Any:
    value: Any = settings
    for part in key.split("."):
        value = getattr(value, part)
    return value


def _shown(value: Any) -> Any:
    if isinstance(value, Secret):
        return HIDDEN
    return [*value] if isinstance(value, tuple) else value


def _all_names() -> set[str]:
    names = set(keys())
    return names | {each.rpartition(".")[0] for each in names if "." in each}


_WORDS = {
    bool: "true or false",
    int: "whole number",
    float: "number",
    str: "text",
    Secret: "secret reference",
}


def _kind(annotation: Any) -> str:
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Literal:
        return "one of " + ", ".join(str(each) for each in arguments)
    if origin in {types.UnionType, typing.Union}:
        named = [_kind(each) for each in arguments if each is not type(None)]
        return " or ".join([*named, "nothing"] if len(named) < len(arguments) else named)
    if origin is tuple:
        return f"list of {_kind(arguments[0])}"
    if origin is typing.Annotated:
        return _kind(arguments[0])
    return _WORDS.get(annotation, getattr(annotation, "__name__", str(annotation)))
