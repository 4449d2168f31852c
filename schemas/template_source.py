"""One template on its way from a document to a checked model, with the means to say where a fault stands.

The same way for YAML and for templates built in Python: aliases, overlays, variables, the model, then what only
the whole template can show. Faults of a stage are reported together; a later stage needs a sound earlier one.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any, Final

import msgspec
from pydantic import ValidationError

from .findings import MOST_FAULTS, Fault, Finding, InvalidTemplate, Path, path_text
from .limits import TEMPLATE_DEPTH
from .template_checks import template_faults
from .template_environment import Variables, canonical, expand, merge, overlay_faults, overlay_path
from .template_faults import model_faults
from .template_models import TemplateModel
from .template_yaml import Document

__all__ = ["TemplateSource"]

_ALIAS_OF: Final = {"namespace": "namespace_name", "dependencies": "depends_on"}


class TemplateSource(msgspec.Struct, frozen=True):
    """A template's document as written, and how to find places in it."""

    value: Any
    """The document; any JSON value, since it is not checked yet."""
    name: str
    """File name, or what else a reader will recognise."""
    document: Document | None = None
    """Lines, if it came from YAML."""
    variables: Variables = {}

    def model(self, environment: str | None = None) -> TemplateModel:
        """The model that holds in an environment (None: the base alone). InvalidTemplate names every fault."""
        faults: list[Fault] = [*islice(_json_faults(self.value), MOST_FAULTS)]
        document = canonical(self.value, faults) if not faults else self.value
        self.refuse(faults)
        if not isinstance(document, dict):
            message = "a template is a mapping, as {name: checkout, steps: []}"
            self.refuse([Fault((), "wrong_type", message)])
        self.refuse([*islice(overlay_faults(document), MOST_FAULTS)])
        merged = expand(merge(document, environment), self.variables, faults)
        self.refuse(faults, environment)
        faults.extend(islice(_json_faults(merged), MOST_FAULTS))
        self.refuse(faults, environment)
        return self._validated(merged, document.get("environments") or {}, environment)

    def environments(self) -> tuple[str, ...]:
        """Names of the environments that the document has overlays for."""
        found = self.value.get("environments") if isinstance(self.value, dict) else None
        return tuple(found) if isinstance(found, dict) else ()

    def finding(self, fault: Fault, environment: str | None = None) -> Finding:
        """The fault with its file, line and path: in the overlay, if that is where the value comes from."""
        path = self._written(fault.path, environment)
        return Finding(
            code=fault.code,
            path=path_text(path),
            message=fault.message,
            source=self.name,
            line=self.document.line_of(path) if self.document else None,
            severity=fault.severity,
        )

    def _validated(self, merged: Any, overlays: Any, environment: str | None) -> TemplateModel:
        try:
            model = TemplateModel.model_validate({**merged, "environments": overlays}, context=self)
        except ValidationError as error:
            self.refuse([*islice(model_faults(error), MOST_FAULTS)], environment)
            raise AssertionError("a ValidationError without errors") from error
        self.refuse([*template_faults(model)], environment)
        return model

    def refuse(self, faults: Sequence[Fault], environment: str | None = None) -> None:
        """Raise InvalidTemplate if there are faults."""
        if faults:
            raise InvalidTemplate(self.finding(each, environment) for each in faults)

    def _written(self, path: Path, environment: str | None) -> Path:
        """The path as the author spelt it."""
        try:
            found = overlay_path(canonical(self.value, []), environment, path) if environment else None
        except (AttributeError, KeyError, TypeError):
            found = None
        return _respelt(self.value, found or path)


def _respelt(value: Any, path: Path) -> Path:
    """Canonical names back to the aliases that the document uses."""
    spelt: list[str | int] = []
    for name in path:
        alias = _ALIAS_OF.get(name, name) if isinstance(name, str) else name
        item = alias if isinstance(value, dict) and name not in value and alias in value else name
        spelt.append(item)
        if isinstance(value, dict):
            value = value.get(item)
        elif isinstance(value, list) and isinstance(item, int) and item < len(value):
            value = value[item]
        else:
            value = None
    return tuple(spelt)


def _json_faults(root: Any) -> Iterator[Fault]:
    """What JSON cannot carry: possible in templates built in Python, and in the values of variables."""
    stack: list[tuple[Path, Any]] = [((), root)]
    while stack:
        path, value = stack.pop()
        if isinstance(value, (dict, list, tuple)) and TEMPLATE_DEPTH.is_exceeded(len(path) + 1):
            message = f"{TEMPLATE_DEPTH.message(len(path) + 1)}: {TEMPLATE_DEPTH.way_out}"
            yield Fault(path, TEMPLATE_DEPTH.error, message)
        elif isinstance(value, dict):
            stack.extend(((*path, str(key)), each) for key, each in reversed([*value.items()]))
            yield from (
                Fault(path, "bad_key", f"the key {key!r} must be text")
                for key in value
                if not isinstance(key, str)
            )
        elif isinstance(value, (list, tuple)):
            stack.extend(((*path, position), each) for position, each in reversed([*enumerate(value)]))
        elif (fault := _scalar_fault(value)) is not None:
            yield Fault(path, "not_json", fault)


def _scalar_fault(value: Any) -> str | None:
    if value is None or isinstance(value, bool):
        return None
    if isinstance(value, str):
        return None if value.isascii() or _is_text(value) else "half of a surrogate pair is no character"
    if isinstance(value, int):
        return None if -(2**63) <= value < 2**64 else "the number does not fit into 64 bits"
    if isinstance(value, float):
        return None if math.isfinite(value) else "must be a finite number"
    return f"a {type(value).__name__} is no JSON value: use text, numbers, booleans, None, lists and dicts"


def _is_text(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True
