"""`tasker verify-rebuild`: is the table what the log says?"""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager
from types import TracebackType
from typing import TYPE_CHECKING, Annotated, Self

import typer

from .console import print_json, print_table, print_text
from .exits import CommandExit
from .guard import run
from .options import AsJson
from .session import Session, in_session

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress
    from rich.progress import TaskID

    from tasker_kafka.deploy.reading import PartitionRebuild, RebuildDifference, Rebuilt

__all__ = ["verify_rebuild"]

COLUMNS = ("partition", "tasks", "not covered", "records", "commands below", "log", "table", "took", "")
DIGITS = 12
"""Hexadecimal digits of a digest in the table; --json has all."""

Partitions = Annotated[
    list[int] | None, typer.Option("--partition", min=0, help="This partition only; may be repeated.")
]
OneTask = Annotated[
    str | None, typer.Option("--task", help="This task only; its partition's other tasks are not decoded.")
]


def verify_rebuild(partition: Partitions = None, task: OneTask = None, as_json: AsJson = False) -> None:
    """Fold all retained transitions and compare the result with the table; exit code 1 if they differ."""
    if partition and task is not None:
        raise typer.BadParameter("a task has its partition: name one or the other", param_hint="--partition")

    async def work(session: Session) -> Rebuilt:
        from tasker_kafka.deploy.reading import verify_rebuild as verify
        from tasker_kafka.schemas.identity import parse_id

        task_id = None if task is None else parse_id(task)
        async with session.plans() as store:
            with Bar() as bar:
                return await verify(
                    session.log,
                    session.names,
                    store,
                    partitions=partition,
                    task_id=task_id,
                    progress=bar.show,
                )

    found = run(in_session(work))
    if as_json:
        print_json(json_of(found))
    else:
        print_rebuilt(found)
    if found.differences:
        raise typer.Exit(CommandExit.REFUSED)


def json_of(found: Rebuilt) -> dict[str, object]:
    """The document of `--json`."""
    from tasker_kafka.deploy.reading import jsonable

    return {
        "is_equal": not found.differences,
        "differences": found.differences,
        "first": jsonable(found.first),
        "partitions": jsonable(found.partitions),
    }


def print_rebuilt(found: Rebuilt) -> None:
    """A row per partition, the verdict, and the first difference."""
    print_table(COLUMNS, map(row, found.partitions), empty="no partitions")
    tasks = sum(each.tasks for each in found.partitions)
    left = sum(each.not_covered for each in found.partitions)
    part = f"; {left} not covered (they began before the retained log)" if left else ""
    if found.first is None:
        print_text(f"equal: {tasks} tasks are in the table as the log says{part}")
        return
    print_text(
        f"DIFFERENT: {found.differences} of {tasks} tasks{part}\nthe first, in partition {found.first.partition}:"
    )
    print_difference(found.first)


def row(each: PartitionRebuild) -> tuple[str, ...]:
    """One partition."""
    return (
        str(each.partition),
        str(each.tasks),
        str(each.not_covered),
        str(each.records),
        "no checkpoint yet" if each.checkpoint_offset is None else str(each.next_command),
        each.log_digest.hex()[:DIGITS],
        each.table_digest.hex()[:DIGITS],
        f"{each.seconds:.1f} s",
        "equal" if each.is_equal else f"{each.differences} differ",
    )


def print_difference(found: RebuildDifference) -> None:
    """What is different, where its records lie, and field by field."""
    print_text(f"  {found.kind}: {found.message}")
    if found.transitions:
        print_text(f"  transitions [{found.partition}]: {offsets(found.transitions)}")
    if found.changelog_offset is not None:
        print_text(f"  task-state  [{found.partition}]: offset {found.changelog_offset}")
    if found.fields:
        fields = [(each.field, each.in_log or "–", each.in_table or "–") for each in found.fields]
        print_table(("field", "in the log", "in the table"), fields)


def offsets(found: tuple[int, ...]) -> str:
    """All of them, or the ends of a long list."""
    if len(found) <= DIGITS:
        return "offsets " + ", ".join(map(str, found))
    return f"{len(found)} records, offsets {found[0]} to {found[-1]}"


class Bar(AbstractContextManager["Bar"]):
    """A progress bar on standard error, where that is a terminal."""

    def __init__(self) -> None:
        self._bar: RichProgress | None = None
        self._rows: dict[int, TaskID] = {}

    def __enter__(self) -> Self:
        if sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import Progress

            self._bar = Progress(console=Console(stderr=True), transient=True)
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def show(self, partition: int, done: int, whole: int) -> None:
        """Where the work on a partition is."""
        if self._bar is None:
            return
        if partition not in self._rows:
            self._rows[partition] = self._bar.add_task(f"partition {partition}", total=whole)
        self._bar.update(self._rows[partition], completed=done)
