"""`tasker template convert`: templates of the first Tasker, written anew, and what became of each of their keys."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .console import note, print_json, print_text
from .exits import CommandExit
from .findings import finding_shape
from .options import AsJson

if TYPE_CHECKING:
    from tasker_kafka.deploy.converting import Converted

__all__ = ["convert_templates"]

Files = Annotated[list[Path], typer.Argument(metavar="FILE", help="Template files of the first Tasker.")]
Folder = Annotated[
    Path | None,
    typer.Option("--folder", help="Write each as a file into this folder. Default: standard output."),
]
Force = Annotated[bool, typer.Option("--force", help="Replace files that are there already.")]


def convert_templates(
    files: Files, folder: Folder = None, force: Force = False, as_json: AsJson = False
) -> None:
    """Write templates of the first Tasker (Rails or Rust) anew; exit code 1 when a key was dropped or a fault left."""
    found = [(file, each) for file in files for each in read(file)]
    written = write(folder, found, force=force) if folder is not None else None
    if as_json:
        print_json({"templates": [shape(file, each, written) for file, each in found]})
    else:
        if folder is None:
            print_text("---\n".join(each.text for _, each in found))
        for file, each in found:
            tell(file, each)
    if any(each.has_losses or has_faults(each) for _, each in found):
        raise typer.Exit(CommandExit.REFUSED)


def read(file: Path) -> list[Converted]:
    """The templates of a file. ConfigurationError when it cannot be read."""
    from tasker_kafka.deploy.converting import convert
    from tasker_kafka.schemas.errors import ConfigurationError

    try:
        text = file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(
            f"{file} cannot be read: {error}", next_step="give template files, saved as UTF-8"
        ) from None
    return convert(text, source=str(file))


def write(folder: Path, found: list[tuple[Path, Converted]], *, force: bool) -> dict[Path, Path]:
    """One file for each original: its name. ConfigurationError before anything is replaced."""
    from tasker_kafka.schemas.errors import ConfigurationError

    targets = {file: folder / f"{file.stem}.yaml" for file, _ in found}
    there = [str(each) for each in targets.values() if each.exists()]
    if (there and not force) or len({*targets.values()}) < len(targets):
        what = f"there already: {', '.join(there)}" if there else "two files have the same name"
        raise ConfigurationError(
            f"nothing was written: {what}", next_step="choose another --folder, or --force"
        )
    folder.mkdir(parents=True, exist_ok=True)
    for file, target in targets.items():
        target.write_text(
            "---\n".join(each.text for source, each in found if source == file), encoding="utf-8"
        )
    return targets


def tell(file: Path, each: Converted) -> None:
    """What became of the keys, on standard error."""
    for one in each.notes:
        note(f"{file}: {one.kind}: {one.path or 'template'}: {one.text}")
    for finding in each.findings:
        note(f"{finding.severity}: {finding}")


def has_faults(each: Converted) -> bool:
    """Whether what came out cannot be published."""
    return any(finding.severity == "error" for finding in each.findings)


def shape(file: Path, each: Converted, written: dict[Path, Path] | None) -> dict[str, Any]:
    """The JSON of one template."""
    from tasker_kafka.deploy.reading.jsonform import jsonable

    return {
        "source": str(file),
        "written": None if written is None else str(written[file]),
        "text": each.text,
        "notes": jsonable(each.notes),
        "findings": [finding_shape(finding) for finding in each.findings],
        "has_losses": each.has_losses,
    }
