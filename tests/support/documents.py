"""The project's documents as tests see them: their code blocks and their links."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from .source_tree import ROOT

DOCUMENTS = ("README.md", "CONTRIBUTING.md", "ARCHITECTURE.md", "docs/**/*.md")

_FENCE = re.compile(r"```([a-z]*)")
_FILE = re.compile(r"# ([a-z_/]+\.(?:py|yaml))")
_LINK = re.compile(r"\]\(([^)\s]+)\)")


@dataclass(frozen=True)
class Block:
    """A fenced code block."""

    document: str
    line: int
    """Of the opening fence, from 1."""
    language: str
    text: str

    @property
    def file(self) -> str | None:
        """The file that the block is, if its first line says so: `# templates/checkout.yaml`."""
        found = _FILE.fullmatch(self.text.partition("\n")[0])
        return None if found is None else found[1]

    def commands(self) -> Iterator[list[str]]:
        """The words of every `tasker` command in it, without the program's name."""
        for line in self.text.splitlines():
            words = shlex.split(line, comments=True)
            if "tasker" in words:
                yield words[words.index("tasker") + 1 :]

    def __str__(self) -> str:
        return f"{self.document}:{self.line}"


def documents() -> list[Path]:
    """Every document, sorted."""
    return sorted(path for pattern in DOCUMENTS for path in ROOT.glob(pattern))


def blocks(*names: str) -> list[Block]:
    """The code blocks of these documents (paths below the root), or of all."""
    paths = [ROOT / name for name in names] or documents()
    return [block for path in paths for block in _blocks(path)]


def links(path: Path) -> list[str]:
    """Targets of the links to files of the repository, without what follows a `#`."""
    found = _LINK.findall(path.read_text())
    return [target.partition("#")[0] for target in found if not re.match(r"[a-z]+:|#", target)]


def _blocks(path: Path) -> Iterator[Block]:
    opened: tuple[int, str] | None = None
    lines: list[str] = []
    for number, line in enumerate(path.read_text().splitlines(), 1):
        fence = _FENCE.fullmatch(line.strip())
        if fence is None:
            lines.append(line)
        elif opened is None:
            opened, lines = (number, fence[1]), []
        else:
            yield Block(str(path.relative_to(ROOT)), *opened, "\n".join(lines) + "\n")
            opened = None
