"""What stands at a place of an original: a mapping or a list, or a fault that says where."""

from __future__ import annotations

from typing import Any

from tasker_kafka.schemas.errors import TemplateError

__all__ = ["Path", "Values", "list_at", "mapping_at", "number_at", "path_text"]

Values = dict[str, Any]
Path = tuple[str | int, ...]


def mapping_at(value: Any, path: Path) -> Values:
    """The mapping; {} for null."""
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise _fault(value, path, "a mapping")
    return value


def list_at(value: Any, path: Path) -> list[Any]:
    """The list; [] for null."""
    if value is None:
        return []
    if not isinstance(value, list):
        raise _fault(value, path, "a list")
    return value


def number_at(value: Any, path: Path) -> float:
    """The number."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _fault(value, path, "a number")
    return value


def path_text(path: Path) -> str:
    """`steps[2].retry`; empty for the template itself."""
    shown = "".join(f"[{each}]" if isinstance(each, int) else f".{each}" for each in path)
    return shown.removeprefix(".")


def _fault(value: Any, path: Path, expected: str) -> TemplateError:
    return TemplateError(
        f"{path_text(path) or 'the template'}: expected {expected}, found {type(value).__name__}",
        next_step="Mend the original, then convert it again.",
    )
