"""Registering a new module: the package that workers are told to load must import it.

Registries find what a package's `__init__.py` has imported. The change is made in the text, so that everything else
in the file stays as its owner wrote it.
"""

from __future__ import annotations

import ast
import re
from typing import Final

from .errors import ScaffoldError
from .text import wrapped

__all__ = ["with_module"]

_DIGITS: Final = re.compile(r"(\d+)")


def with_module(text: str, module: str, *, place: str) -> str:
    """The text of an `__init__.py` that imports the submodule `module` and lists it in `__all__`.

    place: the file, for messages. ScaffoldError when the text is no Python.
    """
    tree = _parsed(text, place)
    if module in _imported(tree):
        return text
    text = _with_import(text, tree, module)
    return _with_export(text, _parsed(text, place), module)


def _parsed(text: str, place: str) -> ast.Module:
    try:
        return ast.parse(text)
    except (SyntaxError, ValueError) as error:
        raise ScaffoldError(
            f"{place} is not Python: {error}", next_step="Mend it, then generate again."
        ) from None


def _imported(tree: ast.Module) -> set[str]:
    return {
        alias.name
        for node in tree.body
        if isinstance(node, ast.ImportFrom) and node.level == 1 and node.module is None
        for alias in node.names
    }


def _with_import(text: str, tree: ast.Module, module: str) -> str:
    lines = text.splitlines()
    for node in tree.body:
        if (
            isinstance(node, ast.ImportFrom)
            and node.level == 1
            and node.module is None
            and _is_plain(node, lines)
        ):
            names = _sorted([*(alias.name for alias in node.names), module])
            return _joined([*lines[: node.lineno - 1], _import(names), *lines[_end(node) :]])
    imports = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
    relative = [node for node in imports if isinstance(node, ast.ImportFrom) and node.level == 1]
    if relative:
        # Formatters put `from . import` before `from .module import`.
        at = relative[0].lineno - 1
        return _joined([*lines[:at], _import([module]), *lines[at:]])
    before = imports[-1:] or tree.body[:1] if imports or ast.get_docstring(tree) is not None else []
    at = _end(before[0]) if before else 0
    rest = lines[at:]
    while rest and not rest[0].strip():
        rest = rest[1:]
    head = [*lines[:at], ""] if before else []
    return _joined([*head, _import([module]), *(["", *rest] if rest else [])])


def _with_export(text: str, tree: ast.Module, module: str) -> str:
    lines = text.splitlines()
    for node in tree.body:
        if isinstance(node, ast.Assign) and [ast.unparse(each) for each in node.targets] == ["__all__"]:
            names = _literal(node.value)
            if names is None or module in names or "#" in "".join(lines[node.lineno - 1 : _end(node)]):
                return text
            listed = _export([*names, module])
            return _joined([*lines[: node.lineno - 1], listed, *lines[_end(node) :]])
    imports = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
    at = _end(imports[-1])
    rest = lines[at:]
    listed = _export([module])
    return _joined([*lines[:at], "", listed, *(["", *rest] if rest and rest[0].strip() else rest)])


def _literal(node: ast.expr) -> list[str] | None:
    try:
        value = ast.literal_eval(node)
    except ValueError:
        return None
    return [str(each) for each in value] if isinstance(value, list | tuple) else None


def _is_plain(node: ast.ImportFrom, lines: list[str]) -> bool:
    """Nothing would be lost if it were written anew: no aliases, no comments, nothing behind it on its line."""
    source = "\n".join(lines[node.lineno - 1 : _end(node)])
    return "#" not in source and ";" not in source and all(alias.asname is None for alias in node.names)


def _import(names: list[str]) -> str:
    line = wrapped("from . import ", names, "")
    return wrapped("from . import (", names, ")") if "\n" in line else line


def _export(names: list[str]) -> str:
    return wrapped("__all__ = [", [f'"{name}"' for name in _sorted(names)], "]")


def _sorted(names: list[str]) -> list[str]:
    """As import sorters sort: numbers by their value."""
    return sorted(
        set(names),
        key=lambda name: [(int(each), "") if each.isdigit() else (-1, each) for each in _DIGITS.split(name)],
    )


def _end(node: ast.stmt) -> int:
    return node.end_lineno or node.lineno


def _joined(lines: list[str]) -> str:
    return "\n".join(lines).rstrip("\n") + "\n"
