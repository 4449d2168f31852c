"""`tasker task`: list tasks, look at one, watch it, and what an operator may ask of a whole task."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated

import typer

from . import task_acts, task_views
from .choosing import Chosen, rows_of_log, rows_of_store
from .console import note, print_json, print_table
from .exits import CommandExit
from .guard import run
from .helping import examples
from .options import AsJson, Limit, Projection, TaskId
from .session import Session, in_session
from .spreading import spread
from .template import GraphFormat, print_graph

if TYPE_CHECKING:
    from tasker_kafka.deploy.reading import TaskReport
    from tasker_kafka.schemas.plan import Plan

__all__ = ["app"]

app = typer.Typer(help="Tasks: what runs, what ran, and why something does not.", no_args_is_help=True)

Full = Annotated[
    bool, typer.Option("--full", help="Read the partition from its beginning: finds forgotten tasks.")
]


@app.command(
    "list", epilog=examples("tasker task list --state error --since 2h", "tasker task list --tag vip --json")
)
@spread
def list_tasks(
    chosen: Chosen, projection: Projection = False, limit: Limit = 50, as_json: AsJson = False
) -> None:
    """Tasks, newest first, as of the last checkpoints (under a second ago)."""
    if projection:
        rows, total = run(rows_of_store(chosen, limit))
    else:
        rows = run(in_session(lambda session: rows_of_log(session, chosen, as_json=as_json)))
        rows, total = rows[:limit], len(rows)
    if as_json:
        from tasker_kafka.deploy.reading import jsonable

        print_json({"tasks": jsonable(rows), "total": total})
        return
    print_table(task_views.LIST_COLUMNS, map(task_views.list_row, rows), empty="no tasks")
    if total > len(rows):
        note(f"{total - len(rows)} more: raise --limit, or filter")


@app.command()
def show(
    task: TaskId,
    life: Annotated[int | None, typer.Option(help="Another life than the newest (see `life`).")] = None,
    transitions: Annotated[bool, typer.Option("--transitions", help="Print every transition too.")] = False,
    full: Full = False,
    as_json: AsJson = False,
) -> None:
    """Everything about one task: its steps, attempts, results and errors, and what waits for whom."""
    report, _ = run(in_session(lambda session: read(session, task, life=life, full=full)))
    if as_json:
        from tasker_kafka.deploy.reading import jsonable

        print_json(jsonable(report))
        return
    task_views.print_report(report, with_transitions=transitions)


@app.command()
def watch(
    task: TaskId,
    interval: Annotated[float, typer.Option(min=0.1, help="Seconds between two looks.")] = 1.0,
    as_json: AsJson = False,
) -> None:
    """Follow a task until it is closed. Exit code 1 when it ends otherwise than complete or resolved."""
    report = run(in_session(lambda session: follow(session, task, interval, is_live=not as_json)))
    if as_json:
        from tasker_kafka.deploy.reading import jsonable

        print_json(jsonable(report))
    if str(report.state) not in ("complete", "resolved_manually"):
        raise typer.Exit(CommandExit.REFUSED)


@app.command()
def graph(
    task: TaskId,
    form: Annotated[GraphFormat, typer.Option("--format", help="How to print it.")] = GraphFormat.MERMAID,
    full: Full = False,
) -> None:
    """The DAG of a task with the state of every step."""
    report, plan = run(in_session(lambda session: read(session, task, full=full)))
    print_graph(plan, {step.name: step.state for step in report.steps}, form)


app.command(
    epilog=examples(
        "tasker task cancel 0197f3c8-7a1e-7c3b-9d7e-2f1a5b6c7d8e --reason 'not wanted'",
        "tasker task cancel --template order --state blocked_by_failures --dry-run",
    )
)(task_acts.cancel)
app.command(epilog=examples("tasker task retry --state error --since 2h --rate 10 --yes"))(task_acts.retry)
app.command()(task_acts.resolve)
app.command("set-reason")(task_acts.set_reason)
app.command("set-tags")(task_acts.set_tags)


# ---------------------------------------------------------------------------------------------- reading


async def read(
    session: Session, task: str, *, life: int | None = None, full: bool = False
) -> tuple[TaskReport, Plan]:
    """A task's report and plan; a request that was rejected is told as such."""
    from tasker_kafka.deploy.reading import find_rejection, read_report
    from tasker_kafka.schemas.errors import NotFoundError
    from tasker_kafka.schemas.identity import parse_id

    task_id = parse_id(task)
    async with session.plans() as store:
        try:
            return await read_report(
                session.log, session.names, store, task_id, life=life, from_beginning=full
            )
        except NotFoundError as error:
            rejection = await find_rejection(session.log, session.names, task_id)
            if rejection is None:
                raise
            raise NotFoundError(
                f"The request of task {task} was rejected ({rejection.code}): {rejection.message}",
                next_step=f"`tasker rejections show {rejection.place}` shows it whole.",
            ) from error


async def follow(session: Session, task: str, interval: float, *, is_live: bool) -> TaskReport:
    """Read the task again and again, showing it, until it is closed."""
    with task_views.Screen(is_live=is_live) as screen:
        while True:
            report, _ = await read(session, task)
            screen.show(report)
            if report.closed_at is not None:
                return report
            await asyncio.sleep(interval)
