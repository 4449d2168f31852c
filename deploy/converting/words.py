"""Names as they are written here, and YAML that our own reader reads back as it was meant."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

import yaml

from tasker_kafka.schemas.template_yaml import PlainText, resolve_scalar

__all__ = ["Dumper", "handler_name", "merged", "snake"]

_HANDLER_PARTS: Final = frozenset({"step_handlers", "step_handler", "handlers", "handler"})


def handler_name(name: str) -> str:
    """`Shop::StepHandlers::ChargeCardHandler` → `shop.charge_card`: what it would be registered as."""
    parts = [each for each in map(snake, re.split(r"::|\.|/", name)) if each]
    named = [each for each in parts if each not in _HANDLER_PARTS] or parts or ["unnamed"]
    named[-1] = re.sub(r"(_step)?_handler$|_publisher$", "", named[-1])
    return ".".join(named)[-64:].lstrip("._")


def snake(text: str) -> str:
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", text)
    return re.sub(r"[^a-z0-9_]+", "_", spaced.lower()).strip("_")[:64]


def merged(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """As overlays are laid: mappings merge, everything else is replaced."""
    laid = dict(below)
    for key, value in above.items():
        if isinstance(value, dict) and isinstance(laid.get(key), dict):
            laid[key] = merged(laid[key], value)
        else:
            laid[key] = value
    return laid


class Dumper(yaml.SafeDumper):
    """Writes what our reader reads back: its own idea of numbers, and of text in which a variable stands."""

    def ignore_aliases(self, data: Any) -> bool:
        """Aliases are refused in templates: equal values are written twice."""
        return True


def _text(dumper: Dumper, value: str) -> yaml.ScalarNode:
    style = '"' if not isinstance(value, PlainText) and "${" in value else None
    try:
        is_text = resolve_scalar(value) is value or "\n" in value
    except ValueError:
        is_text = False
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style if is_text else '"')


_represent: Callable[..., None] = Dumper.add_representer
_represent(str, _text)
_represent(PlainText, _text)
