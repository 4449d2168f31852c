"""The repository as the structure checks see it: its files, parsed once.

Files are those git knows or would add, so that a check bites before the commit and leaves builds alone.
"""

import ast
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

__all__ = ["PACKAGE_FOLDERS", "ROOT", "Module", "modules", "package_modules", "text_files"]

ROOT = Path(__file__).resolve().parents[2]
PACKAGE_FOLDERS = ("package", "schemas", "topics", "streams", "handlers", "deploy")


@dataclass(frozen=True)
class Module:
    """One Python file: `path` relative to the root, and its text."""

    path: str
    text: str

    @cached_property
    def tree(self) -> ast.Module:
        """The syntax tree. SyntaxError as `ast.parse`."""
        return ast.parse(self.text, self.path)

    @property
    def is_package(self) -> bool:
        """Whether it is the `__init__` of a package."""
        return self.path.endswith("__init__.py")

    @property
    def name(self) -> str:
        """The dotted name it is imported by; for tests and scripts the path with dots."""
        parts = self.path.removesuffix(".py").removesuffix("/__init__").split("/")
        if parts[0] == "package":
            return "tasker_kafka"
        return ".".join(["tasker_kafka", *parts] if parts[0] in PACKAGE_FOLDERS else parts)

    def imports(self, nodes: Iterator[ast.AST] | None = None) -> Iterator[tuple[int, str]]:
        """(line, dotted target) of each import in `nodes` (default: anywhere); relative ones are resolved.

        `from a import b` gives `a.b`: whether b is a module is for the caller to see.
        """
        for node in ast.walk(self.tree) if nodes is None else nodes:
            if isinstance(node, ast.Import):
                yield from ((node.lineno, alias.name) for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                base = self._base(node)
                yield from ((node.lineno, f"{base}.{alias.name}") for alias in node.names)

    def _base(self, node: ast.ImportFrom) -> str:
        if not node.level:
            return node.module or ""
        package = self.name.split(".")
        package = package[: len(package) - node.level + (1 if self.is_package else 0)]
        return ".".join([*package, *([node.module] if node.module else [])])


@lru_cache
def text_files() -> tuple[str, ...]:
    """Paths of all files that are tracked or would be added."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    return tuple(sorted({path for path in listed.split("\0") if path and (ROOT / path).is_file()}))


@lru_cache
def modules() -> tuple[Module, ...]:
    """All Python files: packages, tests and scripts."""
    paths = (path for path in text_files() if path.endswith(".py"))
    return tuple(Module(path, (ROOT / path).read_text(encoding="utf-8")) for path in paths)


def package_modules() -> list[Module]:
    """The modules of the distribution."""
    return [module for module in modules() if module.path.split("/")[0] in PACKAGE_FOLDERS]
