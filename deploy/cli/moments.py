"""Moments of the log on the command line: how they are given, and how the positions used are printed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeVar

import typer

from .console import moment, print_text
from .guard import run
from .session import Session, in_session

if TYPE_CHECKING:
    from tasker_kafka.deploy.reading.as_of_moments import Cut, Moment, PartitionCut

__all__ = ["TAKES_MINUS", "asked", "cut_shape", "given", "print_cut", "retained_text"]

T = TypeVar("T")

TAKES_MINUS: dict[str, Any] = {"ignore_unknown_options": True}
"""Settings of a command that takes `-2h` as an argument."""


def given(text: str, hint: str) -> Moment:
    """The moment that an argument means. BadParameter when it means none."""
    from tasker_kafka.deploy.reading.as_of_moments import BadMoment, parse_moment

    if text.startswith("--"):
        raise typer.BadParameter(f"there is no option {text}", param_hint=hint)
    try:
        return parse_moment(text)
    except BadMoment as error:
        raise typer.BadParameter(f"{error.message}. {error.next_step}", param_hint=hint) from error


def asked(work: Callable[[Session], Awaitable[T]]) -> T:
    """Do a command's work on a connection. A moment that the log does not have is a usage error (exit code 2)."""
    from tasker_kafka.deploy.reading.as_of_moments import BadMoment

    try:
        return run(in_session(work))
    except BadMoment as error:
        raise typer.BadParameter(f"{error.message}. {error.next_step}") from error


def cut_shape(cut: Cut) -> dict[str, Any]:
    """The JSON of the positions used: `offsets` can be given back."""
    from tasker_kafka.deploy.reading import jsonable

    return {
        "asked": cut.text,
        "at": jsonable(cut)["at"],
        "offsets": {str(partition): offset for partition, offset in cut.offsets.items()},
        "partitions": jsonable(cut.partitions),
    }


def print_cut(cut: Cut, name: str = "as of") -> None:
    """The moment, its positions, and what retention has taken."""
    from tasker_kafka.deploy.reading.as_of_moments import vector_text

    at = "" if cut.at is None else f"{moment(cut.at)}, "
    print_text(f"{name:<9} {at}positions {vector_text(cut.offsets)}")
    for each in cut.partitions:
        if each.is_partial:
            print_text(f"          {retained_text(each)}")


def retained_text(cut: PartitionCut) -> str:
    """What is missing of a partition."""
    since = "" if cut.begin_at is None else f" ({moment(cut.begin_at)})"
    what = "nothing before it is known" if cut.is_lost else "tasks that began before it are not shown"
    return f"partition {cut.partition}: the retained log begins at offset {cut.begin}{since}; {what}"
