"""`tasker verify-rebuild`: is the table what the log says?"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Annotated

import typer

from .console import print_json, print_table, print_text
from .exits import CommandExit
from .guard import run
from .options import AsJson
from .progress import Progress
from .session import Session, in_session

if TYPE_CHECKING:
    from tasker_kafka.deploy.reading import PartitionRebuild, RebuildDifference, Rebuilt
    from tasker_kafka.deploy.reading.rebuild_projection import ProjectionChecked
    from tasker_kafka.schemas.settings import Settings
    from tasker_kafka.streams.projection.checking import CheckedPartition, RowDifference
    from tasker_kafka.topics.plans import PlanStore

__all__ = ["verify_rebuild"]

COLUMNS = ("partition", "tasks", "not covered", "records", "commands below", "log", "table", "took", "")
CHECKED_COLUMNS = ("partition", "tasks", "not covered", "position", "end", "log", "projection", "")
DIGITS = 12
"""Hexadecimal digits of a digest in the table; --json has all."""

Partitions = Annotated[
    list[int] | None, typer.Option("--partition", min=0, help="This partition only; may be repeated.")
]
OneTask = Annotated[
    str | None, typer.Option("--task", help="This task only; its partition's other tasks are not decoded.")
]


WithProjection = Annotated[
    bool, typer.Option("--projection", help="Also compare the projection's rows with the log.")
]
Place = Annotated[
    str | None,
    typer.Option("--store", help="The projection's path or URL. Default: projection.url of the settings."),
]


def verify_rebuild(
    partition: Partitions = None,
    task: OneTask = None,
    projection: WithProjection = False,
    store: Place = None,
    as_json: AsJson = False,
) -> None:
    """Fold all retained transitions and compare the result with the table; exit code 1 if they differ."""
    if partition and task is not None:
        raise typer.BadParameter("a task has its partition: name one or the other", param_hint="--partition")

    async def work(session: Session) -> tuple[Rebuilt, ProjectionChecked | None]:
        from tasker_kafka.deploy.reading import verify_rebuild as verify
        from tasker_kafka.schemas.identity import parse_id

        task_id = None if task is None else parse_id(task)
        async with session.plans() as plans:
            with Progress(is_wanted=not as_json) as bar:
                rebuilt = await verify(
                    session.log,
                    session.names,
                    plans,
                    partitions=partition,
                    task_id=task_id,
                    progress=bar.by_partition("partition"),
                )
                if not projection and store is None:
                    return rebuilt, None
                return rebuilt, await check(
                    session, plans, bar, store=store, partitions=partition, task_id=task_id
                )

    rebuilt, checked = run(in_session(work))
    if as_json:
        print_json(json_of(rebuilt, checked))
    else:
        print_rebuilt(rebuilt)
        if checked is not None:
            print_checked(checked)
    if rebuilt.differences or (checked is not None and checked.differences):
        raise typer.Exit(CommandExit.REFUSED)


async def check(
    session: Session,
    plans: PlanStore,
    bar: Progress,
    *,
    store: str | None,
    partitions: list[int] | None,
    task_id: bytes | None,
) -> ProjectionChecked:
    """The projection's side."""
    from tasker_kafka.deploy.projecting import require_console_extra, store_place

    require_console_extra()
    from tasker_kafka.deploy.reading.rebuild_projection import verify_projection

    return await verify_projection(
        session.log,
        session.names,
        plans,
        store or store_place(session.settings),
        partitions=partitions,
        task_id=task_id,
        retention_ms=retention_ms(session.settings),
        progress=bar.by_partition("projection"),
    )


def retention_ms(settings: Settings) -> int:
    """How long the projection keeps closed tasks; 0: for ever."""
    return round(settings.projection.retention_hours * 3_600_000)


def json_of(found: Rebuilt, checked: ProjectionChecked | None) -> dict[str, object]:
    """The document of `--json`."""
    from tasker_kafka.deploy.reading import jsonable

    shape: dict[str, object] = {
        "is_equal": not found.differences and not (checked is not None and checked.differences),
        "differences": found.differences,
        "first": jsonable(found.first),
        "partitions": jsonable(found.partitions),
    }
    if checked is not None:
        shape["projection"] = {
            "store": checked.store,
            "differences": checked.differences,
            "first": jsonable(checked.first),
            "partitions": jsonable(checked.partitions),
        }
    return shape


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


# ------------------------------------------------------------------------------------------ the projection


def print_checked(found: ProjectionChecked) -> None:
    """A row per partition, the verdict, and the first difference."""
    print_text(f"\nprojection {found.store}")
    print_table(CHECKED_COLUMNS, map(checked_row, found.partitions), empty="no partitions")
    tasks = sum(each.tasks for each in found.partitions)
    left = sum(each.not_covered for each in found.partitions)
    removed = sum(each.removed for each in found.partitions)
    part = f"; {left} not covered (the log does not hold all of them)" if left else ""
    part += f"; {removed} removed by the projection's retention" if removed else ""
    if found.first is None:
        print_text(f"equal: {tasks} tasks are in the projection as the log says, up to its positions{part}")
        return
    counts = Counter[str]()
    for each in found.partitions:
        counts.update(each.tables)
    rows = ", ".join(f"{count} of {table}" for table, count in counts.most_common())
    print_text(f"DIFFERENT: {found.differences} of {tasks} tasks{part}; rows: {rows}\nthe first:")
    print_row(found.first)
    print_text("make it anew from the log: tasker projection rebuild")


def checked_row(each: CheckedPartition) -> tuple[str, ...]:
    """One partition."""
    return (
        str(each.partition),
        str(each.tasks),
        str(each.not_covered),
        str(each.position),
        str(each.end),
        each.log_digest.hex()[:DIGITS],
        each.projection_digest.hex()[:DIGITS],
        "equal" if not each.differences else f"{each.differences} differ",
    )


def print_row(found: RowDifference) -> None:
    """Where it lies, and both values."""
    where = found.table if found.column is None else f"{found.table}.{found.column}"
    print_text(f"  {found.kind}: {where} of {found.key}")
    if found.column is not None:
        print_text(f"  in the log: {found.in_log}\n  in the projection: {found.in_projection}")
