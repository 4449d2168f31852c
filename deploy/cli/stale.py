"""`tasker stale`: the task ledger, where tasks stand that somebody should look at."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from tasker_kafka.schemas.words import OperatorAction

from .console import moment, note, print_json, print_table, print_text
from .guard import run
from .operate import Orders, operate
from .options import AsJson, Limit, TaskId
from .session import in_session
from .spreading import spread

if TYPE_CHECKING:
    from tasker_kafka.deploy.reading.stale import LedgerRow

    from .session import Session

__all__ = ["app"]

app = typer.Typer(help="Tasks somebody should look at: stuck, given up, or set aside.", no_args_is_help=True)


class LedgerStatus(StrEnum):
    """What an entry says of its task."""

    PENDING = "pending"
    RESOLVED = "resolved"
    FAILED = "failed"
    CANCELLED = "cancelled"


class Way(StrEnum):
    """How a task of the ledger is settled."""

    RESOLVE = "resolve"
    RETRY = "retry"
    CANCEL = "cancel"


_ACTIONS = {
    Way.RESOLVE: OperatorAction.RESOLVE_TASK,
    Way.RETRY: OperatorAction.RETRY_TASK,
    Way.CANCEL: OperatorAction.CANCEL_TASK,
}


@app.command("list")
def list_stale(
    status: Annotated[LedgerStatus, typer.Option(help="Entries of this status.")] = LedgerStatus.PENDING,
    every: Annotated[bool, typer.Option("--all", help="Entries of every status.")] = False,
    limit: Limit = 50,
    as_json: AsJson = False,
) -> None:
    """Entries of the ledger, newest first; pending ones unless you ask for others."""

    async def work(session: Session) -> list[LedgerRow]:
        from tasker_kafka.deploy.reading.stale import list_ledger

        return await list_ledger(session.log, session.names, status=None if every else status.value)

    rows = run(in_session(work))
    from tasker_kafka.deploy.reading import jsonable

    if as_json:
        print_json({"entries": jsonable(rows[:limit]), "total": len(rows)})
        return
    print_table(
        ("task", "since", "why", "status", "message"),
        [
            (jsonable(row.task_id), moment(row.at), row.reason, row.status, row.message)
            for row in rows[:limit]
        ],
        empty="nothing waits for anybody",
    )
    if len(rows) > limit:
        note(f"{len(rows) - limit} more: raise --limit")


@app.command()
def show(task: TaskId, as_json: AsJson = False) -> None:
    """The newest entry of one task, with the task as it was then; secrets hidden."""

    async def work(session: Session) -> LedgerRow:
        from tasker_kafka.deploy.reading.stale import read_ledger
        from tasker_kafka.schemas.identity import parse_id

        return await read_ledger(session.log, session.names, parse_id(task))

    row = run(in_session(work))
    from tasker_kafka.deploy.reading import jsonable

    shown = jsonable(row)
    if as_json:
        print_json(shown)
        return
    settled = f" by {row.actor}" if row.actor else ""
    print_text(f"{row.status}{settled}: {row.reason}: {row.message}\nsince     {shown['at']}\ntask then")
    print_json(shown["snapshot"])


@app.command()
@spread
def resolve(
    task: TaskId,
    *,
    way: Annotated[
        Way,
        typer.Option("--by", help="Declare the task dealt with, retry what has failed, or cancel the task."),
    ] = Way.RESOLVE,
    orders: Orders,
) -> None:
    """Settle a task of the ledger; its entry closes when the task has moved on."""
    operate(task, _ACTIONS[way], {}, orders)
