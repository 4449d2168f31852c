"""Names that people give to generators, checked, and the Python names that are made of them.

A name is used in templates, topics, file names and code at once, so it is held to the narrowest of their grammars; what
Python keeps for itself (keywords, builtins, what the generated file imports) gets an underscore behind it.
"""

from __future__ import annotations

import builtins
import importlib.util
import keyword
import re
import sys
import unicodedata
from collections.abc import Collection
from typing import Final

from .errors import ScaffoldError

__all__ = [
    "class_name",
    "identifier",
    "parse_group",
    "parse_handler",
    "parse_project",
    "parse_step",
    "parse_template",
]

_LONGEST: Final = 64
_LONGEST_PROJECT: Final = 32
"""Its package's name stands twice in some lines."""
_PART: Final = re.compile(r"[a-z0-9_]{1,64}")
_GROUP: Final = re.compile(r"[a-z0-9_-]{1,64}")
_PROJECT: Final = re.compile(r"[a-z][a-z0-9_-]{0,31}")
_NOT_PLAIN: Final = re.compile(r"[^a-z0-9]+")
_RESERVED: Final = frozenset({*keyword.kwlist, *keyword.softkwlist, *dir(builtins)})
_FOLDERS: Final = frozenset({"config", "templates", "tests"})
"""Folders of a new project that are no package."""


def parse_handler(name: str) -> tuple[str, ...]:
    """The parts of a handler's registered name, as `checkout.charge_card`. ScaffoldError with a better name."""
    return _dotted(name, "handler", "checkout.charge_card")


def parse_template(name: str) -> tuple[str | None, str]:
    """Namespace (None: not given) and name of `[NAMESPACE/]NAME`."""
    namespace, slash, rest = name.rpartition("/")
    if slash:
        _check(namespace, _PART, "namespace", "payments")
    _check(rest, _PART, "template", "payments/refund")
    return (namespace if slash else None), rest


def parse_step(name: str) -> str:
    """The name of a step."""
    return _check(name, _PART, "step", "charge_card")


def parse_group(name: str) -> str:
    """The name of a subscriber, which is its consumer group."""
    _check(name, _GROUP, "subscriber", "billing-audit")
    if not any(each.isalpha() for each in name):
        raise ScaffoldError(
            f"The subscriber's name {name!r} has no letter.", next_step="Call it as `billing-audit`."
        )
    return name


def parse_project(name: str) -> tuple[str, str]:
    """Name of a project and of its package. ScaffoldError for a package that would hide another one."""
    _check(name, _PROJECT, "project", "tea-shop")
    package = name.replace("-", "_")
    taken = None
    if package in sys.stdlib_module_names or package in _RESERVED:
        taken = "of Python itself"
    elif package in _FOLDERS:
        taken = "of the folder beside it"
    elif (spec := importlib.util.find_spec(package)) is not None and spec.origin is not None:
        taken = "of a package that is installed here"
    if taken is not None:
        raise ScaffoldError(
            f"A package {package!r} would have the name {taken}, and hide it.",
            next_step=f"Call the project otherwise, as `{name}-flow`.",
        )
    return name, package


def identifier(name: str, taken: Collection[str] = (), *, is_attribute: bool = False) -> str:
    """A Python identifier for a name of [a-z0-9_.-]: `import` gives `import_`, `2fa` gives `n2fa`.

    taken: names that the file uses for something else.
    is_attribute: of a pydantic model, where builtins hide nothing and `model_` is taken.
    """
    found = re.sub(r"[^a-z0-9_]", "_", name)
    if found[0].isdigit() or not found.strip("_"):
        found = f"n{found}"
    if is_attribute and found.startswith("model_"):
        found += "_"
    reserved = keyword.kwlist if is_attribute else _RESERVED
    while found in reserved or found in taken:
        found += "_"
    return found


def class_name(name: str, suffix: str = "", taken: Collection[str] = ()) -> str:
    """A class name for a name of [a-z0-9_.-]: `billing-audit` gives `BillingAudit`, with a suffix behind it."""
    found = "".join(each[:1].upper() + each[1:] for each in _NOT_PLAIN.split(name)) + suffix
    if not found or found[0].isdigit():
        found = f"N{found}"
    while found in _RESERVED or found in taken:
        found += "_"
    return found


def _dotted(name: str, kind: str, example: str) -> tuple[str, ...]:
    parts = tuple(name.split("."))
    if not all(_PART.fullmatch(part) for part in parts) or len(name) > _LONGEST:
        raise _bad_name(name, kind, "parts of a–z, 0–9, _, joined by dots", example)
    return parts


def _check(name: str, pattern: re.Pattern[str], kind: str, example: str) -> str:
    if not pattern.fullmatch(name):
        hyphen = "" if pattern is _PART else " or -"
        raise _bad_name(name, kind, f"a–z, 0–9, _{hyphen}", example)
    return name


def _bad_name(name: str, kind: str, letters: str, example: str) -> ScaffoldError:
    longest = _LONGEST_PROJECT if kind == "project" else _LONGEST
    meant = _plain(name)[:longest]
    return ScaffoldError(
        f"{name[:80]!r} is no name for a {kind}: 1 to {longest} characters, {letters}.",
        next_step=f"Call it as `{example}`" + (f"; `{meant}` would do." if meant else "."),
    )


def _plain(name: str) -> str:
    """The nearest plain name: letters without their marks, everything else as `_`; empty if nothing is left."""
    folded = unicodedata.normalize("NFKD", name.replace("ß", "ss")).encode("ascii", "ignore").decode()
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", folded)
    return _NOT_PLAIN.sub("_", spaced.lower()).strip("_")
