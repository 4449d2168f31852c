"""`tasker diff`: what changed between two moments of the log."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from .console import note, print_json, print_table, print_text
from .exits import CommandExit
from .moments import asked, cut_shape, given, print_cut
from .options import AsJson, Namespace, States, TemplateName, known_states
from .progress import Progress
from .session import Session

if TYPE_CHECKING:
    from tasker_kafka.deploy.reading.as_of_moments import Moment
    from tasker_kafka.deploy.reading.diff import Differences, Wanted
    from tasker_kafka.deploy.reading.diff_changes import StepChange, TaskChange

__all__ = ["diff"]

TASK_COLUMNS = ("task", "template", "change", "from", "to", "steps", "records", "offsets")
STEP_COLUMNS = ("step", "from", "to", "attempts", "fields")
FIELD_COLUMNS = ("field", "before", "after")

First = Annotated[str, typer.Argument(metavar="T1", help="The first moment, as of `tasker as-of`.")]
Second = Annotated[str, typer.Argument(metavar="T2", help="The second moment; not before the first.")]
OneTask = Annotated[
    str | None, typer.Argument(metavar="TASK", help="This task only, with every step and field.")
]


def complete_kind(incomplete: str) -> list[str]:
    """The kinds of change that begin so."""
    from tasker_kafka.deploy.reading.diff_changes import ChangeKind

    return [each for each in ChangeKind if each.startswith(incomplete)]


Kinds = Annotated[
    list[str] | None,
    typer.Option(
        "--kind",
        help="Changed so: created, closed, reopened, moved, changed or forgotten; repeatable: any of them.",
        autocompletion=complete_kind,
    ),
]
Limit = Annotated[int, typer.Option("--limit", min=0, help="Tasks told, at most; all are counted.")]


def diff(
    *,
    first: First,
    second: Second,
    task: OneTask = None,
    states: States = None,
    namespace: Namespace = None,
    template: TemplateName = None,
    kinds: Kinds = None,
    limit: Limit = 50,
    as_json: AsJson = False,
) -> None:
    """Tasks and steps that changed between two moments; exit code 1 if any did, 0 if none."""
    from tasker_kafka.deploy.reading.diff import Wanted
    from tasker_kafka.deploy.reading.diff_changes import ChangeKind

    for kind in kinds or ():
        if kind not in list(ChangeKind):
            raise typer.BadParameter(f"{kind!r} is none of {', '.join(ChangeKind)}", param_hint="--kind")
    moments = (given(first, "T1"), given(second, "T2"))
    wanted = Wanted(
        namespace=namespace,
        template=template,
        states=known_states(states),
        kinds=tuple(map(ChangeKind, kinds or ())),
    )
    found = asked(lambda session: compared(session, moments, task, wanted, limit, as_json=as_json))
    if as_json:
        print_json(json_of(found))
    else:
        print_found(found, in_full=task is not None)
    if found.total:
        raise typer.Exit(CommandExit.REFUSED)


async def compared(
    session: Session,
    moments: tuple[Moment, Moment],
    task: str | None,
    wanted: Wanted,
    limit: int,
    *,
    as_json: bool,
) -> Differences:
    """Ask, with a bar for each partition."""
    from tasker_kafka.deploy.reading.diff import diff as compare
    from tasker_kafka.schemas.identity import parse_id

    async with session.plans() as store:
        with Progress(is_wanted=not as_json) as bar:
            return await compare(
                session.log,
                session.names,
                store,
                *moments,
                task_id=None if task is None else parse_id(task),
                wanted=wanted,
                limit=limit,
                progress=bar.by_partition("partition"),
            )


def json_of(found: Differences) -> dict[str, Any]:
    """The document of `--json`."""
    from tasker_kafka.deploy.reading import jsonable

    shape: dict[str, Any] = jsonable(found)
    return {**shape, "first": cut_shape(found.first), "second": cut_shape(found.second)}


def print_found(found: Differences, *, in_full: bool) -> None:
    """The counts, then the tasks."""
    print_cut(found.first, "first")
    print_cut(found.second, "second")
    if found.not_covered:
        print_text(
            f"{found.not_covered} changed tasks began before the retained log: nothing is said of them"
        )
    if found.unfoldable:
        print_text(
            f"{found.unfoldable} tasks have records that do not fold: `tasker verify-rebuild` says which"
        )
    if not found.total:
        print_text("no difference")
        return
    for name, counts in (("tasks", found.kinds), ("states", found.states), ("steps", found.steps)):
        text = ", ".join(f"{count} {what}" for what, count in counts.items())
        print_text(f"{name:<9} {text or 'none'}")
    print_text(f"attempts  {found.attempts} granted, in {found.records} records")
    print_table(TASK_COLUMNS, map(task_row, found.tasks), title="")
    for each in found.tasks if in_full else ():
        print_task(each)
    if found.total > len(found.tasks):
        note(f"{found.total - len(found.tasks)} more: raise --limit, or filter")


def task_row(each: TaskChange) -> tuple[str, ...]:
    """One task."""
    from tasker_kafka.schemas.identity import format_id

    return (
        format_id(each.task_id),
        f"{each.namespace}/{each.template}",
        str(each.kind),
        str(each.before or "–"),
        str(each.after or "–"),
        str(len(each.steps)),
        str(each.records),
        "–" if each.offsets is None else f"{each.partition}: {each.offsets[0]}–{each.offsets[1]}",
    )


def print_task(each: TaskChange) -> None:
    """Every step and field of a task that differs."""
    print_table(STEP_COLUMNS, map(step_row, each.steps), title="", empty="no step differs")
    rows = [(change.field, change.before, change.after) for change in each.fields]
    if rows:
        print_table(FIELD_COLUMNS, rows, title="")


def step_row(step: StepChange) -> tuple[str, ...]:
    """One step."""
    fields = "; ".join(f"{each.field}: {each.before} → {each.after}" for each in step.fields)
    return (step.step, str(step.before or "–"), str(step.after), f"+{step.attempts}", fields)
