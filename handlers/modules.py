"""Importing the modules that people name on a command line: what fails says which module, and what to do."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from types import ModuleType

from tasker_kafka.schemas.errors import ConfigurationError

__all__ = ["import_module", "look_here", "submodules"]


def look_here() -> None:
    """Let modules be imported from the folder the command was started in."""
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)


def import_module(module: str) -> ModuleType:
    """The module of this name. ConfigurationError when there is none, or when it fails to import."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is not None and (module == error.name or module.startswith(f"{error.name}.")):
            raise ConfigurationError(
                f"there is no module {module!r} (looked for {error.name!r})",
                next_step="start the worker where the module can be imported, or set PYTHONPATH",
            ) from None
        raise ConfigurationError(f"module {module} cannot be imported: {error}") from error
    except Exception as error:
        raise ConfigurationError(
            f"module {module} cannot be imported: {type(error).__name__}: {error}"
        ) from error


def submodules(module: str) -> list[ModuleType]:
    """Those below it that are imported by now, sorted by name."""
    prefix = f"{module}."
    return [
        each for name, each in sorted(sys.modules.items()) if name.startswith(prefix) and each is not None
    ]
