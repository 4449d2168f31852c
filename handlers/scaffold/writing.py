"""Writing what a generator made: everything or nothing, and no file of the user's is lost.

All refusals come before the first write, each file named, so that one `--force` or one `mv` is enough.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from .errors import ScaffoldError
from .registration import with_module

__all__ = ["Draft", "NewFile", "Registration", "Written", "write"]


@dataclass(frozen=True)
class NewFile:
    """A file as it is to be. `path` is relative to the root that it is written below."""

    path: PurePosixPath
    text: str
    mark: str | None = None
    """A file that holds this text in its first line is a generator's own, and is replaced without asking."""
    is_shared: bool = False
    """A file that others may have made already, as a conftest.py: then it stays as it is."""


@dataclass(frozen=True)
class Registration:
    """`package`'s `__init__.py` is to import `module`; it is made with this docstring where it is missing."""

    package: PurePosixPath
    module: str
    docstring: str


@dataclass(frozen=True)
class Draft:
    """What a generator wants written, and what a person does next."""

    files: tuple[NewFile, ...]
    registrations: tuple[Registration, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass
class Written:
    """What `write` did, as paths relative to the root."""

    created: list[str] = field(default_factory=list)
    replaced: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    """Files of the user's that got a line more."""
    unchanged: list[str] = field(default_factory=list)


def write(draft: Draft, root: Path, *, force: bool = False) -> Written:
    """Write a draft below `root`. ScaffoldError, and nothing is written, when a file exists with other content.

    force: replace such files.
    """
    wanted = {
        each.path: each.text for each in draft.files if not (each.is_shared and (root / each.path).exists())
    }
    registered = _registered(draft.registrations, root)
    _refuse_obstacles(root, [*wanted, *registered])
    existing = {path: _content(root / path) for path in [*wanted, *registered] if (root / path).exists()}
    marks = {each.path: each.mark for each in draft.files if each.mark is not None}
    differing = [
        str(path)
        for path, text in wanted.items()
        if path in existing and existing[path] != text and not _is_marked(existing[path], marks.get(path))
    ]
    if differing and not force:
        raise ScaffoldError(
            f"{_counted(differing)} already: {', '.join(differing)}. Nothing was written.",
            next_step="Choose another name, move them away, or replace them with --force.",
        )
    done = Written()
    for path, text in {**wanted, **registered}.items():
        if path not in existing:
            done.created.append(str(path))
        elif existing[path] == text:
            done.unchanged.append(str(path))
            continue
        else:
            (done.replaced if path in wanted else done.changed).append(str(path))
        _put(root / path, text)
    return done


def _is_marked(text: str | None, mark: str | None) -> bool:
    return mark is not None and text is not None and mark in text.partition("\n")[0]


def _registered(registrations: tuple[Registration, ...], root: Path) -> dict[PurePosixPath, str]:
    found: dict[PurePosixPath, str] = {}
    for each in registrations:
        path = each.package / "__init__.py"
        file = root / path
        text = found.get(path)
        if text is None:
            text = _source(file) if file.is_file() else ""
            text = text or f'"""{each.docstring}"""\n'
        found[path] = with_module(text, each.module, place=str(path))
    return found


def _refuse_obstacles(root: Path, paths: list[PurePosixPath]) -> None:
    """Folders where files are to be, and files where folders are to be."""
    wrong: list[str] = []
    for path in paths:
        if (root / path).is_dir():
            wrong.append(f"{path} is a folder")
        wrong += [f"{each} is a file" for each in path.parents if (root / each).is_file()]
    if wrong:
        raise ScaffoldError(
            f"{'; '.join(dict.fromkeys(wrong))}. Nothing was written.",
            next_step="Move it away, or choose another name.",
        )


def _content(file: Path) -> str | None:
    """None for what is no UTF-8: it is certainly not what we would write."""
    try:
        return file.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return None
    except OSError as error:
        raise ScaffoldError(
            f"{file} cannot be read: {error.strerror}", next_step="Check the file's rights."
        ) from None


def _source(file: Path) -> str:
    text = _content(file)
    if text is None:
        raise ScaffoldError(f"{file} is not UTF-8.", next_step="Save it as UTF-8, then generate again.")
    return text


def _put(file: Path, text: str) -> None:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8", newline="\n")
    except OSError as error:
        raise ScaffoldError(
            f"{file} cannot be written: {error.strerror}", next_step="Check the folder's rights and space."
        ) from None


def _counted(paths: list[str]) -> str:
    return "This file exists" if len(paths) == 1 else f"{len(paths)} files exist"
