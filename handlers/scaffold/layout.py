"""Where generated files go: the folders of a project, found from where the command was started.

`[tool.tasker]` in pyproject.toml names the package, as `tasker init` writes it. Without one the folders lie beside each
other where the command was started, and a conftest.py makes them importable in tests.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Final, Literal

from tasker_kafka.schemas.nearest import did_you_mean

from .errors import ScaffoldError

__all__ = ["Kind", "Layout", "find_layout"]

Kind = Literal["handlers", "subscribers", "events"]
_PYPROJECT: Final = "pyproject.toml"
_KEYS: Final = frozenset({"package"})
_SHOWN: Final = '[tool.tasker]\npackage = "tea_shop"'


@dataclass(frozen=True)
class Layout:
    """A project as generators see it. Paths in it are relative to `root`."""

    root: Path
    package: str | None = None
    """Dotted import name; None: the folders lie in the root."""
    is_project: bool = False
    """Whether there is a pyproject.toml, whose owner decides how tests find the modules."""

    def module(self, kind: Kind, name: str | None = None) -> str:
        """The import name of a folder of this kind, or of a module in it."""
        return ".".join(each for each in (self.package, kind, name) if each)

    def folder(self, kind: Kind) -> PurePosixPath:
        """The folder of this kind."""
        return self.package_folder / kind

    @property
    def package_folder(self) -> PurePosixPath:
        """Where the package lies: beside pyproject.toml, or below `src`."""
        if self.package is None:
            return PurePosixPath()
        folder = PurePosixPath(*self.package.split("."))
        is_below = (self.root / "src" / folder).is_dir() and not (self.root / folder).is_dir()
        return "src" / folder if is_below else folder

    @property
    def tests(self) -> PurePosixPath:
        """The folder of the tests."""
        return PurePosixPath("tests")

    @property
    def templates(self) -> PurePosixPath:
        """The folder of the templates."""
        return PurePosixPath("templates")


def find_layout(start: Path, package: str | None = None) -> Layout:
    """The project that `start` lies in; `start` itself without one. `package` replaces what pyproject.toml says.

    ScaffoldError when pyproject.toml cannot be read or `[tool.tasker]` in it is faulty.
    """
    start = start.resolve()
    if package is not None:
        _check_package(package, "--package")
    for folder in (start, *start.parents):
        file = folder / _PYPROJECT
        if file.is_file() and (section := _section(file)) is not None:
            named = section.get("package")
            return Layout(folder, package if package is not None else named, is_project=True)
    return Layout(start, package, is_project=(start / _PYPROJECT).is_file())


def _section(file: Path) -> dict[str, Any] | None:
    try:
        content = tomllib.loads(file.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise ScaffoldError(f"{file} cannot be read: {error}", next_step="Mend it first.") from None
    tool = content.get("tool")
    section = tool.get("tasker") if isinstance(tool, dict) else None
    if section is None:
        return None
    if not isinstance(section, dict):
        raise ScaffoldError(f"{file}: tool.tasker is no table.", next_step=f"Write\n{_SHOWN}")
    for key in section:
        if key not in _KEYS:
            raise ScaffoldError(
                f"{file}: tool.tasker has no key {key!r}; {did_you_mean(key, _KEYS)}",
                next_step=f"Write\n{_SHOWN}",
            )
    if "package" in section:
        _check_package(section["package"], f"{file}: tool.tasker.package")
    return section


def _check_package(package: object, place: str) -> None:
    if not isinstance(package, str) or not all(part.isidentifier() for part in package.split(".")):
        raise ScaffoldError(
            f"{place}: {package!r} is no name of a package.",
            next_step="Write it as it is imported: `tea_shop`.",
        )
