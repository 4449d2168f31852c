"""From JSON Schema to Python types: what a schema accepts the types accept, too, so that no event is refused by them.

The other way round they promise less: what no type can say (`pattern`, `not`, conditions, …) is left to the schema,
which the publisher's side checks, and listed as such. Objects with named properties become classes; properties that
a schema does not name are ignored. A redacted property arrives as text, so text is one of its types.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from pydantic import BaseModel

from tasker_kafka.schemas.schema_walk import REDACT_KEYWORD, Schema, resolve_pointer

from .annotations import ANY, NONE, Annotation, literal, named, of, union
from .names import class_name, identifier

__all__ = ["FieldCode", "ModelCode", "Types", "name_fields", "plain_name"]

_FORMATS: Final = {"date": "date", "date-time": "AwareDatetime", "uuid": "UUID"}
_LEFT_TO_SCHEMA: Final = (
    "pattern", "uniqueItems", "contains", "not", "if", "patternProperties", "propertyNames", "dependentRequired",
    "dependentSchemas", "minProperties", "maxProperties", "unevaluatedProperties", "unevaluatedItems",
)  # fmt: skip
_TEXT: Final = named("str")
_TYPE_NAMES: Final = frozenset(
    {"bool", "date", "dict", "float", "int", "list", "str", "tuple", "only_what_is_set", *dir(BaseModel)}
)
"""What annotations use, and what models have already."""


@dataclass
class FieldCode:
    """One property of a class."""

    name: str
    alias: str
    """As payloads call it."""
    annotation: Annotation
    is_required: bool
    description: str = ""


@dataclass
class ModelCode:
    """A class to be written."""

    name: str
    description: str
    fields: list[FieldCode] = field(default_factory=list)
    left_to_schema: list[str] = field(default_factory=list)
    """Keywords, with their property, that only the schema checks."""
    place: str = ""
    """The property that is being made."""


class Types:
    """The types of one schema's values, and the classes they need, in the order to write them."""

    def __init__(self, root: Schema, name: str, taken: set[str]) -> None:
        self._root = root
        self._taken = taken
        self._reserved: set[str] = set()
        self._name = self._reserve(name)
        self._by_reference: dict[str, Annotation] = {}
        self._open: list[ModelCode] = []
        self.models: list[ModelCode] = []

    def of_root(self) -> Annotation:
        """The type of a payload; a class of the given name when it is an object with properties."""
        return self.of_schema(self._root, self._name)

    @property
    def name(self) -> str:
        """What a class or alias of the root is called."""
        return self._name

    def of_schema(self, schema: Any, name: str) -> Annotation:
        """The type of a value at a place that would be called `name` if it needs a class."""
        if not isinstance(schema, dict):
            return ANY
        found = self._unredacted(schema, name)
        if schema.get(REDACT_KEYWORD) is not True:
            return found
        return _TEXT if found.head == "Annotated" and found.parts[0] == _TEXT else union([found, _TEXT])

    def _unredacted(self, schema: Schema, name: str) -> Annotation:
        if not self._is_class(schema):
            self._leave(schema)
        if values := _values(schema):
            return of("Literal", *(named(literal(each)) for each in values))
        if "$ref" in schema:
            return self._reference(schema["$ref"])
        if self._is_class(schema):
            return self._object(schema, name)
        for keyword in ("anyOf", "oneOf"):
            if keyword in schema:
                parts = [self.of_schema(each, f"{name}{at}") for at, each in enumerate(schema[keyword], 1)]
                return union(parts)
        if "allOf" in schema:
            parts = [self.of_schema(each, f"{name}{at}") for at, each in enumerate(schema["allOf"], 1)]
            return next((each for each in parts if each != ANY), ANY)
        types = schema.get("type")
        names = types if isinstance(types, list) else [types]
        return union(self._typed(schema, each, name) for each in names)

    def _typed(self, schema: Schema, kind: str | None, name: str) -> Annotation:
        match kind:
            case "string":
                found = _FORMATS.get(str(schema.get("format")))
                return named(found) if found else _limited("str", _sizes(schema, "Length"))
            case "integer":
                return _limited("int", _bounds(schema, is_whole=True))
            case "number":
                return _limited("float", _bounds(schema, is_whole=False))
            case "boolean":
                return named("bool")
            case "null":
                return NONE
            case "array":
                return self._array(schema, name)
            case "object":
                others = schema.get("additionalProperties", True)
                if schema.get("patternProperties"):
                    others = True
                return of("dict", named("str"), self.of_schema(others, f"{name}Value"))
            case _:
                return ANY

    def _array(self, schema: Schema, name: str) -> Annotation:
        prefix, rest = schema.get("prefixItems", []), schema.get("items", True)
        parts = [self.of_schema(each, f"{name}Item{at}") for at, each in enumerate(prefix, 1)]
        if prefix and rest is False and schema.get("minItems", 0) >= len(prefix):
            return of("tuple", *parts)
        if rest is not False:
            parts.append(self.of_schema(rest, f"{name}Item"))
        return _limited(of("list", union(parts)), _sizes(schema, "Items"))

    def _reference(self, reference: str) -> Annotation:
        if reference not in self._by_reference:
            target = resolve_pointer(self._root, reference)
            name = self._name
            is_class = isinstance(target, dict) and self._is_class(target)
            if reference != "#":
                name += class_name(plain_name(reference.rpartition("/")[2]))
                name = self._reserve(name) if is_class else name
            # What is met again while it is made refers to itself: to its class, else to anything.
            self._by_reference[reference] = _nullable(target, named(name)) if is_class else ANY
            if reference != "#":
                self._by_reference[reference] = self.of_schema(target, name)
        return self._by_reference[reference]

    def _is_class(self, schema: Schema) -> bool:
        is_plain = "$ref" not in schema and not _values(schema) and _may_be_object(schema)
        return is_plain and any(each.get("properties") for each in self._together(schema))

    def _object(self, schema: Schema, name: str) -> Annotation:
        model = ModelCode(self._free(name), str(schema.get("description", "")))
        self._open.append(model)
        together = list(self._together(schema))
        model.left_to_schema += [each for each in _LEFT_TO_SCHEMA for part in together if each in part]
        required = {each for part in together for each in part.get("required", ())}
        for part in together:
            for alias, below in part.get("properties", {}).items():
                if alias not in {each.alias for each in model.fields}:
                    model.place = alias
                    annotation = self.of_schema(below, model.name + class_name(plain_name(alias)))
                    text = str(below.get("description", "")) if isinstance(below, dict) else ""
                    model.fields.append(FieldCode("", alias, annotation, alias in required, text))
        self._open.pop()
        self.models.append(model)
        types = schema.get("type")
        return (
            union([named(model.name), NONE])
            if isinstance(types, list) and "null" in types
            else named(model.name)
        )

    def _together(self, schema: Schema) -> Iterator[Schema]:
        """The schema and its parts of `allOf`, references among them followed once."""
        yield schema
        for each in schema.get("allOf", ()):
            target = (
                resolve_pointer(self._root, each["$ref"])
                if isinstance(each, dict) and "$ref" in each
                else each
            )
            if isinstance(target, dict) and target is not schema:
                yield target

    def _free(self, name: str) -> str:
        """A class's name: the one that was reserved for it, else one that nobody has."""
        if name in self._reserved:
            self._reserved.remove(name)
            return name
        found, number = name, 1
        while found in self._taken:
            number += 1
            found = f"{name}{number}"
        self._taken.add(found)
        return found

    def _reserve(self, name: str) -> str:
        found = self._free(name)
        self._reserved.add(found)
        return found

    def _leave(self, schema: Schema) -> None:
        """Note what no type says of the property that is being made."""
        if self._open:
            model = self._open[-1]
            model.left_to_schema += [f"{each} of {model.place}" for each in _LEFT_TO_SCHEMA if each in schema]


def _nullable(schema: Schema, annotation: Annotation) -> Annotation:
    """The class of a schema, and what else its values may be: nothing, or the mask of what is redacted."""
    types = schema.get("type")
    found = [annotation, *([NONE] if isinstance(types, list) and "null" in types else [])]
    return union([*found, *([_TEXT] if schema.get(REDACT_KEYWORD) is True else [])])


def name_fields(model: ModelCode, classes: set[str]) -> None:
    """Give every field a Python name that clashes with nothing."""
    used: set[str] = set()
    for each in model.fields:
        name = identifier(plain_name(each.alias), _TYPE_NAMES | classes | used, is_attribute=True)
        each.name = name
        used.add(name)


def plain_name(text: str) -> str:
    """Any text as a name of a–z, 0–9 and _: `größe (cm)` gives `grosse_cm`."""
    folded = unicodedata.normalize("NFKD", text.replace("ß", "ss")).encode("ascii", "ignore").decode()
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", folded)
    return re.sub(r"[^a-z0-9]+", "_", spaced.lower()).strip("_") or "x"


def _may_be_object(schema: Schema) -> bool:
    """Whether its `type` lets objects in: `properties` beside another type say nothing."""
    types = schema.get("type", "object")
    return "object" in (types if isinstance(types, list) else [types])


def _values(schema: Schema) -> list[Any]:
    """The values of `enum` or `const`, if types can be told by them."""
    values = schema.get("enum", [schema["const"]] if "const" in schema else [])
    if any(not isinstance(each, str | int | None) for each in values):
        return []
    found: dict[str, Any] = {literal(each): each for each in values}
    return list(found.values())


def _limited(base: str | Annotation, limits: dict[str, float]) -> Annotation:
    found = named(base) if isinstance(base, str) else base
    if not limits:
        return found
    shown = ", ".join(f"{name}={value}" for name, value in limits.items())
    return of("Annotated", found, named(f"Field({shown})"))


def _sizes(schema: Schema, what: str) -> dict[str, float]:
    found = {"min_length": schema.get(f"min{what}"), "max_length": schema.get(f"max{what}")}
    return {
        name: int(value)
        for name, value in found.items()
        if value is not None and (value or name[:3] == "max")
    }


def _bounds(schema: Schema, *, is_whole: bool) -> dict[str, float]:
    found: dict[str, float] = {}
    for keyword, name, whole in (
        ("minimum", "ge", math.ceil),
        ("exclusiveMinimum", "gt", math.floor),
        ("maximum", "le", math.floor),
        ("exclusiveMaximum", "lt", math.ceil),
    ):
        if keyword in schema:
            found[name] = whole(schema[keyword]) if is_whole else schema[keyword]
    step = schema.get("multipleOf")
    if is_whole and step is not None and step == int(step) and step != 1:
        found["multiple_of"] = int(step)
    return found
