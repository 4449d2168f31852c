"""`tasker init`: a new project that runs with one command."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .generate import Force, finish
from .options import AsJson

__all__ = ["init"]


def init(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="Of the project; its package is called so, too.")
    ],
    folder: Annotated[Path | None, typer.Option("--folder", help="Where it lies. Default: NAME.")] = None,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """A new project: a template, its handlers, a subscriber, and tests that need no broker."""
    from tasker_kafka.handlers.scaffold.project import new_project

    place = folder or Path(name)
    finish(new_project(name, place), place, force, as_json)
