"""From the document an author wrote to the one that holds here: aliases, the environment's overlay, variables.

Works on plain values before they are checked, so that a fault in an overlay is reported where it stands, and so
that base and overlay may use different spellings of a key.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from .findings import MOST_FAULTS, Fault, Path
from .limits import ENVIRONMENTS
from .nearest import did_you_mean
from .template_yaml import PlainText, resolve_scalar

__all__ = ["Document", "Variables", "canonical", "expand", "merge", "overlay_faults", "overlay_path"]

Document = dict[str, Any]
Variables = Mapping[str, str | None]
"""The allow-list: what templates may ask for, with its value; None: allowed, but not set here."""

_TEMPLATE_ALIASES: Final = {"namespace_name": "namespace"}
_STEP_ALIASES: Final = {"depends_on": "dependencies"}
_VARIABLE: Final = re.compile(r"\$\$\{|\$\{(?:(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?::-(?P<default>[^{}]*))?\})?")


# ---------------------------------------------------------------------------------------------- aliases


def canonical(document: Any, faults: list[Fault]) -> Any:
    """The document with one spelling per key. Both spellings at once are a fault, the alias is dropped then."""
    if not isinstance(document, dict):
        return document
    found = _canonical_level(document, (), faults)
    environments = found.get("environments")
    if isinstance(environments, dict):
        found["environments"] = {
            name: _canonical_level(overlay, ("environments", name), faults)
            if isinstance(overlay, dict)
            else overlay
            for name, overlay in environments.items()
        }
    return found


def _canonical_level(document: Document, path: Path, faults: list[Fault]) -> Document:
    found = _renamed(document, _TEMPLATE_ALIASES, path, faults)
    steps = found.get("steps")
    if isinstance(steps, list):
        found["steps"] = [
            _renamed(step, _STEP_ALIASES, (*path, "steps", position), faults)
            if isinstance(step, dict)
            else step
            for position, step in enumerate(steps)
        ]
    return found


def _renamed(value: Document, aliases: Mapping[str, str], path: Path, faults: list[Fault]) -> Document:
    for alias, name in aliases.items():
        if alias in value and name in value:
            message = f"`{alias}` and `{name}` are two spellings of one key: write one of them"
            faults.append(Fault((*path, alias), "both_spellings", message))
    return {
        aliases.get(key, key): each
        for key, each in value.items()
        if not (key in aliases and aliases[key] in value)
    }


# ------------------------------------------------------------------------------------------ environments


def overlay_faults(document: Document) -> Iterator[Fault]:
    """What is wrong with the shape of any environment's overlay, used here or not."""
    if "environments" not in document:
        return
    environments = document["environments"]
    if not isinstance(environments, dict):
        yield Fault(("environments",), "wrong_type", "must be a mapping of environment names to overlays")
        return
    if ENVIRONMENTS.is_exceeded(len(environments)):
        message = f"{ENVIRONMENTS.message(len(environments))}: {ENVIRONMENTS.way_out}"
        yield Fault(("environments",), ENVIRONMENTS.error, message)
        return
    names = _step_names(document)
    for environment, overlay in environments.items():
        path: Path = ("environments", environment)
        if not isinstance(overlay, dict):
            yield Fault(path, "wrong_type", "must be a mapping with the keys to change")
            continue
        for key in ("environments", "name"):
            if key in overlay:
                yield Fault((*path, key), "not_in_overlay", f"an environment cannot change `{key}`")
        yield from _overlay_step_faults(overlay.get("steps"), names, (*path, "steps"))


def _overlay_step_faults(steps: Any, names: set[str], path: Path) -> Iterator[Fault]:
    if steps is None:
        return
    if not isinstance(steps, list):
        yield Fault(
            path, "wrong_type", "must be a list of steps, each with the `name` of the step it changes"
        )
        return
    seen: set[str] = set()
    for position, step in enumerate(steps):
        name = step.get("name") if isinstance(step, dict) else None
        if not isinstance(name, str):
            yield Fault((*path, position), "missing_key", "needs the `name` of the step that it changes")
        elif name in seen:
            yield Fault((*path, position, "name"), "duplicate_step", f"step `{name}` is changed twice")
        elif name not in names:
            hint = did_you_mean(name, names, kind="steps")
            message = f"there is no step `{name[:80]}` to change; {hint}"
            yield Fault((*path, position, "name"), "unknown_step", message)
        seen.add(str(name))


def _step_names(document: Document) -> set[str]:
    steps = document.get("steps")
    named = steps if isinstance(steps, list) else ()
    return {step["name"] for step in named if isinstance(step, dict) and isinstance(step.get("name"), str)}


def merge(document: Document, environment: str | None) -> Document:
    """The document with the environment's overlay on it: mappings merge, lists replace, steps merge by name.

    An environment without an overlay changes nothing. The overlays themselves are left out of the result.
    Meant for documents without `overlay_faults`.
    """
    base = {key: value for key, value in document.items() if key != "environments"}
    overlay = (document.get("environments") or {}).get(environment)
    if not overlay:
        return base
    rest = {key: value for key, value in overlay.items() if key != "steps"}
    merged: Document = _merged(base, rest)
    if isinstance(overlay.get("steps"), list) and isinstance(base.get("steps"), list):
        changes = {step["name"]: step for step in overlay["steps"]}
        merged["steps"] = [_merged_step(step, changes) for step in base["steps"]]
    return merged


def _merged_step(step: Any, changes: Mapping[str, Document]) -> Any:
    name = step.get("name") if isinstance(step, dict) else None
    return _merged(step, changes[name]) if isinstance(name, str) and name in changes else step


def _merged(base: Any, overlay: Any) -> Any:
    if not (isinstance(base, dict) and isinstance(overlay, dict)):
        return overlay
    return {
        **base,
        **{key: _merged(base[key], each) if key in base else each for key, each in overlay.items()},
    }


def overlay_path(document: Document, environment: str | None, path: Path) -> Path | None:
    """Where a value of the merged document stands in the overlay; None if it comes from the base."""
    value = (document.get("environments") or {}).get(environment)
    found: Path = ("environments", str(environment))
    rest = path
    if not isinstance(value, dict):
        return None
    if len(path) >= 2 and path[0] == "steps":
        at = _overlay_position(document, value, path[1])
        if at is None:
            return None
        value, found, rest = value["steps"][at], (*found, "steps", at), path[2:]
    for item in rest:
        if isinstance(value, dict) and item in value:
            value = value[str(item)]
        elif isinstance(value, list) and isinstance(item, int) and item < len(value):
            value = value[item]
        else:
            return None
        found = (*found, item)
    return found if rest else None


def _overlay_position(document: Document, overlay: Document, position: str | int) -> int | None:
    step = (
        document["steps"][position]
        if isinstance(position, int) and position < len(document["steps"])
        else None
    )
    name = step.get("name") if isinstance(step, dict) else None
    steps = overlay.get("steps")
    changes = steps if isinstance(steps, list) else []
    return next(
        (at for at, each in enumerate(changes) if isinstance(each, dict) and each.get("name") == name), None
    )


# --------------------------------------------------------------------------------------------- variables


def expand(value: Any, variables: Variables, faults: list[Fault], path: Path = ()) -> Any:
    """The value with `${VAR}` and `${VAR:-default}` replaced in every text; `$${` stands for `${` itself.

    Text that stood without quotes in YAML is read again afterwards, so that it may become a number or boolean.
    What is replaced cannot add keys or list items, whatever the variable holds.
    """
    if isinstance(value, dict):
        return {key: expand(each, variables, faults, (*path, key)) for key, each in value.items()}
    if isinstance(value, list):
        return [expand(each, variables, faults, (*path, position)) for position, each in enumerate(value)]
    if not isinstance(value, str) or "${" not in value:
        return value
    text = _VARIABLE.sub(_replacing(variables, faults, path), value)
    if not isinstance(value, PlainText):
        return text
    try:
        return resolve_scalar(text)
    except ValueError as error:
        faults.append(Fault(path, "bad_number", str(error)))
        return text


def _replacing(variables: Variables, faults: list[Fault], path: Path) -> Callable[[re.Match[str]], str]:
    def replace(found: re.Match[str]) -> str:
        if found[0] == "$${":
            return "${"
        name, default = found["name"], found["default"]
        if len(faults) >= MOST_FAULTS:
            return ""
        if name is None:
            message = "not a variable: write `${NAME}` or `${NAME:-default}`, and `$${` for the characters themselves"
            faults.append(Fault(path, "bad_variable", message))
        elif name not in variables:
            hint = did_you_mean(name, variables, kind="variables")
            message = f"variable `{name}` is not on the allow-list (setting templates.variables); {hint}"
            faults.append(Fault(path, "unknown_variable", message))
        else:
            value = variables[name] or default
            if value is not None:
                return value
            message = f"variable `{name}` is not set here: set it, or give a default, as `${{{name}:-value}}`"
            faults.append(Fault(path, "unset_variable", message))
        return ""

    return replace
