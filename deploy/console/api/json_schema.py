"""JSON Schemas of what the API answers, made of the structs themselves by the rules of `deploy.reading.jsonform`.

So the description cannot say something else than the answers do. Fields are always present; ids and hashes are text; a
whole number in a field named `at` or `…_at` is a time, as RFC 3339 text.
"""

from __future__ import annotations

import inspect
import types
from collections.abc import Mapping
from enum import Enum
from typing import Any, Final, Literal, Union, get_args, get_origin

import msgspec

__all__ = ["Schemas"]

_PLAIN: Final[Mapping[Any, dict[str, Any]]] = {
    Any: {},
    bool: {"type": "boolean"},
    bytes: {"type": "string"},
    float: {"type": "number"},
    int: {"type": "integer"},
    object: {},
    str: {"type": "string"},
    type(None): {"type": "null"},
}
_TIME: Final = {"type": "string", "format": "date-time"}


class Schemas:
    """Collects the schemas of structs and enums under their names, as OpenAPI's components."""

    def __init__(self) -> None:
        self.components: dict[str, dict[str, Any]] = {}
        self._kinds: dict[str, type] = {}

    def of(self, kind: Any, field: str = "") -> dict[str, Any]:
        """The schema of a type, as the value of a field of that name. TypeError for a type that has none."""
        if kind in _PLAIN:
            is_time = kind is int and (field == "at" or field.endswith("_at"))
            return dict(_TIME if is_time else _PLAIN[kind])
        origin = get_origin(kind)
        if origin is not None:
            return self._generic(origin, get_args(kind), field)
        if isinstance(kind, type) and issubclass(kind, Enum | msgspec.Struct):
            return self._named(kind)
        if isinstance(kind, type) and issubclass(kind, tuple):
            return {"type": "array"}
        raise TypeError(f"no JSON Schema for {kind!r}")

    # ------------------------------------------------------------------------------------------- inside

    def _generic(self, origin: Any, arguments: tuple[Any, ...], field: str) -> dict[str, Any]:
        if origin in {Union, types.UnionType}:
            kinds = [each for each in arguments if each is not msgspec.UnsetType]
            shown = [self.of(each, field) for each in kinds]
            return shown[0] if len(shown) == 1 else {"anyOf": shown}
        if origin is Literal:
            return {"enum": list(arguments)}
        if isinstance(origin, type) and issubclass(origin, Mapping):
            return {"type": "object", "additionalProperties": self.of(arguments[1])}
        if origin is tuple and arguments[-1] is not Ellipsis:
            return {
                "type": "array",
                "prefixItems": [self.of(each) for each in arguments],
                "minItems": len(arguments),
                "maxItems": len(arguments),
            }
        if origin in {tuple, list, set, frozenset}:
            return {"type": "array", "items": self.of(arguments[0])}
        raise TypeError(f"no JSON Schema for {origin!r}")

    def _named(self, kind: type[Enum] | type[msgspec.Struct]) -> dict[str, Any]:
        name = kind.__name__
        known = self._kinds.setdefault(name, kind)
        if known is not kind:
            raise TypeError(f"{kind!r} and {known!r} have the same name")
        if name not in self.components:
            self.components[name] = {}  # a struct may hold itself
            made = self._enum(kind) if issubclass(kind, Enum) else self._struct(kind)
            text = inspect.getdoc(kind)
            self.components[name] = {"title": name, **({"description": text} if text else {}), **made}
        return {"$ref": f"#/components/schemas/{name}"}

    def _enum(self, kind: type[Enum]) -> dict[str, Any]:
        return {"enum": [each.value for each in kind], "type": "string"}

    def _struct(self, kind: type[msgspec.Struct]) -> dict[str, Any]:
        fields = msgspec.structs.fields(kind)
        required = [each.encode_name for each in fields if msgspec.UnsetType not in get_args(each.type)]
        return {
            "type": "object",
            "properties": {each.encode_name: self.of(each.type, each.encode_name) for each in fields},
            "required": required,
        }
