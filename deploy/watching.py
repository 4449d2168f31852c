"""Which files changed, by asking for their times now and then: works on every file system, without a package for it."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable
from pathlib import Path

from tasker_kafka.schemas.errors import ConfigurationError

__all__ = ["FileWatch", "module_files", "template_files"]

TEMPLATE_SUFFIXES = frozenset({".yaml", ".yml"})


class FileWatch:
    """Files below some paths, and what happened to them since the last look."""

    def __init__(self, paths: Iterable[Path], suffixes: Iterable[str]) -> None:
        self._paths = tuple(paths)
        self._suffixes = frozenset(suffixes)
        self._seen = self._look()

    def changes(self) -> list[Path]:
        """Files that were made, changed or removed since the last call, sorted."""
        now = self._look()
        changed = [path for path in now.keys() | self._seen.keys() if now.get(path) != self._seen.get(path)]
        self._seen = now
        return sorted(changed)

    def _look(self) -> dict[Path, tuple[int, int]]:
        found: dict[Path, tuple[int, int]] = {}
        for path in self._paths:
            for each in sorted(path.rglob("*")) if path.is_dir() else [path]:
                if each.suffix in self._suffixes:
                    try:
                        status = each.stat()
                    except FileNotFoundError:
                        continue
                    found[each] = (status.st_mtime_ns, status.st_size)
        return found


def module_files(module: str) -> Path:
    """The file of a module, or the folder of a package. ConfigurationError when there is no such module."""
    try:
        found = importlib.util.find_spec(module)
    except (ImportError, ValueError):
        found = None
    if found is None or found.origin is None:
        raise ConfigurationError(
            f"There is no module {module!r}.",
            next_step="Start where the module can be imported, or set PYTHONPATH.",
        )
    origin = Path(found.origin)
    return origin.parent if found.submodule_search_locations else origin


def template_files(paths: Iterable[Path]) -> list[Path]:
    """The template files that are, or lie below, these paths. ConfigurationError when one of them does not exist."""
    found: list[Path] = []
    for path in paths:
        if not path.exists():
            raise ConfigurationError(
                f"There is no template file or folder {path}.",
                next_step="Check the path; it may be relative.",
            )
        if path.is_dir():
            found += sorted(each for each in path.rglob("*") if each.suffix in TEMPLATE_SUFFIXES)
        else:
            found.append(path)
    return found
