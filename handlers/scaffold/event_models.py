"""`tasker generate events`: pydantic models of a namespace's event payloads, made from their declared schemas."""

from __future__ import annotations

import ast
import re
import textwrap
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Final

from tasker_kafka.schemas.event_compatibility import is_same_contract, version_key
from tasker_kafka.schemas.plan import EventDeclaration

from .annotations import NONE, Annotation, assigned, literal, union
from .errors import ScaffoldError
from .handler import importable
from .json_types import FieldCode, ModelCode, Types, name_fields
from .layout import Layout
from .names import class_name, identifier
from .text import WIDTH, filled, names_list, wrapped
from .writing import Draft, NewFile

__all__ = ["MARK", "Declared", "new_event_models"]

MARK: Final = "written by `tasker generate events`"
"""In the first line of a generated file: it may be replaced without asking."""
_KNOWN: Final = {
    "AwareDatetime": "pydantic", "Any": "typing", "Annotated": "typing", "BaseModel": "pydantic", "ClassVar": "typing",
    "ConfigDict": "pydantic", "Field": "pydantic", "Literal": "typing", "SerializerFunctionWrapHandler": "pydantic",
    "UUID": "uuid", "date": "datetime", "model_serializer": "pydantic",
}  # fmt: skip
_LOOKALIKES: Final = str.maketrans(
    {"–": "-", "—": "-", "‘": "'", "’": "'", "“": '"', "”": '"', "…": "...", "×": "x"}
)


@dataclass(frozen=True)
class Declared:
    """A declared event and where."""

    namespace: str
    event: EventDeclaration
    source: str


def new_event_models(namespace: str, declared: Iterable[Declared], layout: Layout) -> Draft:
    """The module of a namespace's payloads: of each event the newest version, which reads the older ones.

    ScaffoldError when the namespace declares no event, or two schemas under one version.
    """
    everything = list(declared)
    newest = _newest(namespace, [each for each in everything if each.namespace == namespace])
    if not newest:
        known = ", ".join(sorted({each.namespace for each in everything})) or "none"
        raise ScaffoldError(
            f"No event is declared in the namespace {namespace!r} (namespaces with events: {known}).",
            next_step="Declare some under `publishes_events`, or name another namespace.",
        )
    module = identifier(namespace)
    names = ", ".join(map(_class, newest[:2]))
    text = _code(namespace, newest)
    folder = layout.folder("events")
    return Draft(
        files=(
            NewFile(folder / f"{module}.py", text, mark=MARK),
            NewFile(
                folder / "__init__.py",
                '"""Payloads of domain events, generated from their schemas."""\n',
                is_shared=True,
            ),
            *(each for each in importable(layout) if each.path != PurePosixPath("conftest.py")),
        ),
        notes=(f"Use it: from {layout.module('events', module)} import {names}",),
    )


def _newest(namespace: str, declared: list[Declared]) -> list[EventDeclaration]:
    found: dict[str, Declared] = {}
    for each in declared:
        known = found.get(each.event.name)
        if known is None or version_key(each.event.version) > version_key(known.event.version):
            found[each.event.name] = each
        elif version_key(each.event.version) == version_key(known.event.version) and not is_same_contract(
            each.event.schema, known.event.schema
        ):
            raise ScaffoldError(
                f"{each.event.name} {each.event.version} has two schemas, in {known.source} and in {each.source}.",
                next_step="Make them the same, or raise the `version` of one.",
            )
    return [found[name].event for name in sorted(found)]


def _class(event: EventDeclaration) -> str:
    return class_name(event.name)


def _code(namespace: str, events: list[EventDeclaration]) -> str:
    taken = {*_KNOWN, "Payload"}
    blocks: list[str] = []
    exported: list[str] = []
    for event in events:
        written, names = _event_code(event, taken)
        blocks += written
        exported += names
    code = "".join(f"\n\n{each}\n" for each in blocks).rstrip("\n")
    body = filled("events.py.tmpl", namespace=namespace, imports="", exports="", code=code)
    return filled(
        "events.py.tmpl",
        namespace=namespace,
        imports=_imports(body),
        exports=names_list("__all__", ["Payload", *exported]),
        code=code,
    )


def _event_code(event: EventDeclaration, taken: set[str]) -> tuple[list[str], list[str]]:
    if not event.schema:
        return [f"# {event.name} {event.version} declares no schema: its payload may be anything."], []
    types = Types(event.schema, _class(event), taken)
    root = types.of_root()
    classes = {each.name for each in types.models}
    blocks: list[str] = []
    after: list[str] = []
    for model in types.models:
        name_fields(model, {*classes, *_KNOWN, "EVENT", "VERSION"})
        is_root = model.name == types.name
        description = event.description if is_root and not model.description else model.description
        aliases = _Aliases(model, taken)
        lines = _class_lines(model, event if is_root else None, description, aliases)
        blocks.append("\n".join(lines))
        after += aliases.lines  # behind the classes, which they may name
    blocks += after
    if str(root) != types.name:
        blocks.append(assigned(types.name, root))
    return blocks, [types.name, *sorted(classes - {types.name})]


class _Aliases:
    """Annotations that are too long for a field's line get a name of their own."""

    def __init__(self, model: ModelCode, taken: set[str]) -> None:
        self._model = model
        self._taken = taken
        self.lines: list[str] = []

    def short(self, annotation: Annotation, field: FieldCode, room: int) -> str:
        """The annotation, or the name that stands for it."""
        text = str(annotation)
        if len(text) <= room or not annotation.parts:
            return text
        name = self._name(self._model.name + class_name(field.name), room)
        self.lines.append(assigned(name, annotation))
        return name

    def _name(self, wanted: str, room: int) -> str:
        """What is wanted, if it is free and short enough; else a numbered one."""
        found, number = wanted, 0
        while found in self._taken or (len(found) > room and number == 0):
            number += 1
            found = f"{self._model.name}Type{number}"
        self._taken.add(found)
        return found


def _class_lines(
    model: ModelCode, event: EventDeclaration | None, description: str, aliases: _Aliases
) -> list[str]:
    lines = [wrapped(f"class {model.name}(", ["Payload"], "):")]
    text = description or (f"The payload of {event.name}." if event else "A part of a payload.")
    lines += _docstring(text, model.left_to_schema)
    if event is not None:
        lines += [
            "",
            _constant("EVENT", event.name),
            _constant("VERSION", event.version),
        ]
    if model.fields:
        lines.append("")
    for each in model.fields:
        lines += _field_lines(each, aliases)
    return lines


def _constant(name: str, value: str) -> str:
    line = f"    {name}: ClassVar[str] = {literal(value)}"
    return line if len(line) <= WIDTH else f"    {name}: ClassVar[str] = (\n        {literal(value)}\n    )"


def _field_lines(field: FieldCode, aliases: _Aliases) -> Iterator[str]:
    annotation = field.annotation
    if not field.is_required and not annotation.is_optional:
        annotation = union([annotation, NONE])
    is_renamed = field.name != field.alias
    rest = " = Field(" if is_renamed else "" if field.is_required else " = None"
    shown = aliases.short(annotation, field, WIDTH - 4 - len(f"{field.name}: {rest}"))
    if is_renamed:
        options = [] if field.is_required else ["default=None"]
        options.append(f"validation_alias={literal(field.alias)}")
        yield f"    {wrapped(f'{field.name}: {shown}{rest}', options, ')', indent=4)}"
    else:
        yield f"    {field.name}: {shown}{rest}"
    if field.description:
        yield from _docstring(field.description, [])


def _docstring(text: str, left_to_schema: list[str]) -> list[str]:
    safe = (
        re.sub(r"\s+", " ", text.translate(_LOOKALIKES)).strip().replace("\\", "\\\\").replace('"""', "'''")
    )
    if safe.endswith('"'):
        safe += " "
    lines = textwrap.wrap(safe, WIDTH - 8, break_long_words=False) or ["A payload."]
    if left_to_schema:
        shown = f"Only the schema checks: {', '.join(dict.fromkeys(left_to_schema))}."
        lines += ["", *textwrap.wrap(shown, WIDTH - 8)]
    if len(lines) == 1:
        return [f'    """{lines[0]}"""']
    return [f'    """{lines[0]}', *(f"    {each}" if each else "" for each in lines[1:]), '    """']


def _imports(body: str) -> str:
    """What the code uses; words in texts do not count."""
    names = {node.id for node in ast.walk(ast.parse(body)) if isinstance(node, ast.Name)}
    by_module: dict[str, list[str]] = {}
    for name in sorted(names & _KNOWN.keys()):
        by_module.setdefault(_KNOWN[name], []).append(name)
    standard = [
        _import(module, by_module[module]) for module in ("datetime", "typing", "uuid") if module in by_module
    ]
    return "\n".join(standard) + "\n\n" + _import("pydantic", by_module["pydantic"])


def _import(module: str, names: list[str]) -> str:
    """Import sorters put constants first, then classes, then functions."""
    ordered = sorted(names, key=lambda name: (0 if name.isupper() else 1 if name[0].isupper() else 2, name))
    line = wrapped(f"from {module} import ", ordered, "")
    return wrapped(f"from {module} import (", ordered, ")") if "\n" in line else line
