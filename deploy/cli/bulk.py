"""One operator command to many tasks: choosing them, asking whether they are meant, and what became of them."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tasker_kafka.schemas.words import OperatorAction

from .choosing import Chosen, rows_of_log, rows_of_store
from .console import counted, note, print_json, print_table, print_text
from .exits import CommandExit
from .guard import run
from .operate import Orders, operate
from .options import DryRun, Projection, Rate, current_actor
from .progress import Progress
from .session import Session, in_session

if TYPE_CHECKING:
    from tasker_kafka.deploy.bulk import BulkOrder, BulkReport, BulkRow

__all__ = ["Many", "TaskIds", "steer"]

SHOWN = 50
"""Tasks that are listed; all are counted."""

TaskIds = Annotated[
    list[str] | None, typer.Argument(metavar="TASK", help="Task ids; or choose tasks by a filter.")
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask whether the tasks are meant.")]
BulkId = Annotated[
    str | None,
    typer.Option(
        "--bulk-id", help="A UUID; sent again, the same bulk acts once on each task. Default: a new one."
    ),
]


@dataclass(frozen=True)
class Many:
    """The options of commands to many tasks."""

    dry_run: DryRun = False
    yes: Yes = False
    rate: Rate = None
    bulk_id: BulkId = None
    projection: Projection = False


def steer(
    tasks: list[str] | None, action: OperatorAction, orders: Orders, chosen: Chosen, many: Many
) -> None:
    """Send the command to the one task, or to all that are meant."""
    if bool(tasks) == chosen.says_anything:
        raise typer.BadParameter(
            "say which tasks are meant: by their ids, or by a filter (--state, --namespace, …)"
            if not tasks
            else "give ids or a filter, not both",
            param_hint="TASK",
        )
    if tasks and len(tasks) == 1 and not (many.dry_run or many.bulk_id):
        operate(tasks[0], action, {}, orders)
        return
    if orders.expected_seq is not None or orders.command_id is not None or not orders.wait:
        raise typer.BadParameter(
            "--expected-seq, --command-id and --no-wait are for one task; many have --bulk-id"
        )
    order = order_of(action, orders, many)
    report = run(
        in_session(lambda session: work(session, tasks, order, chosen, many, as_json=orders.as_json))
    )
    if report is None:
        note("nothing was sent")
        raise typer.Exit(CommandExit.REFUSED)
    show(report, as_json=orders.as_json)
    if report.rejected:
        raise typer.Exit(CommandExit.REFUSED)
    if report.unanswered:
        raise typer.Exit(CommandExit.TIMEOUT)


def order_of(action: OperatorAction, orders: Orders, many: Many) -> BulkOrder:
    """As `deploy.bulk` takes it."""
    from tasker_kafka.deploy.bulk import BulkOrder
    from tasker_kafka.schemas.identity import new_request_id, parse_id

    return BulkOrder(
        action=action,
        actor=orders.actor or current_actor(),
        reason=orders.reason,
        bulk_id=new_request_id() if many.bulk_id is None else parse_id(many.bulk_id),
        per_second=many.rate,
        timeout=orders.timeout,
    )


async def work(
    session: Session,
    tasks: list[str] | None,
    order: BulkOrder,
    chosen: Chosen,
    many: Many,
    *,
    as_json: bool,
) -> BulkReport | None:
    """Find the tasks, ask, and act. None: not confirmed."""
    from tasker_kafka.schemas.identity import parse_id

    ids = [parse_id(each) for each in tasks or ()]
    if not ids:
        rows = (
            (await rows_of_store(chosen))[0]
            if many.projection
            else await rows_of_log(session, chosen, as_json=as_json)
        )
        ids = [row.task_id for row in rows]
    with Progress(is_wanted=not as_json) as progress:
        if many.dry_run:
            return await rehearse(session, ids, order, progress)
        if ids and not (many.yes or is_confirmed(order.action, len(ids))):
            return None
        return await act(session, ids, order, progress)


def is_confirmed(action: OperatorAction, count: int) -> bool:
    """Ask on standard error. BadParameter where nobody can answer."""
    if not is_terminal():
        raise typer.BadParameter(
            f"{action} of {counted(count, 'task')}: say --yes, or --dry-run to look first"
        )
    return typer.confirm(f"{action} of {counted(count, 'task')}?", err=True)


def is_terminal() -> bool:
    """Whether a person can answer. Tests put their own in its place."""
    return sys.stdin.isatty()


async def act(session: Session, ids: list[bytes], order: BulkOrder, progress: Progress) -> BulkReport:
    """Send the commands. Interrupted, it says how to go on."""
    from tasker_kafka.deploy.bulk import run_bulk
    from tasker_kafka.schemas.identity import format_id
    from tasker_kafka.topics.client import TaskClient

    count = Counted(progress, len(ids))
    try:
        async with TaskClient(session.log, session.names) as client:
            report = await run_bulk(client, ids, order, on_row=count.take)
    except BaseException:
        note(f"{count.done} of {len(ids)} were answered; go on with --bulk-id {format_id(order.bulk_id)}")
        raise
    if report.unanswered:
        note(f"{report.unanswered} gave no answer; ask again with --bulk-id {format_id(order.bulk_id)}")
    return report


async def rehearse(session: Session, ids: list[bytes], order: BulkOrder, progress: Progress) -> BulkReport:
    """Say what each would be answered, as of the last checkpoints."""
    from tasker_kafka.deploy.bulk import rehearse_bulk
    from tasker_kafka.deploy.reading.heads import saved_states
    from tasker_kafka.schemas.state import TaskState
    from tasker_kafka.streams.domain.allowing import TaskNow

    states = await saved_states(session.log, session.names, frozenset(ids))
    count = Counted(progress, len(ids))
    async with session.plans() as store:

        async def find(task_id: bytes) -> TaskNow:
            state = states.get(task_id)
            return TaskNow(state, store.get(state.plan_hash) if isinstance(state, TaskState) else None)

        return await rehearse_bulk(find, ids, order, on_row=count.take)


class Counted:
    """How far a bulk is."""

    def __init__(self, progress: Progress, whole: int) -> None:
        self.done = 0
        self._whole = whole
        self._progress = progress

    def take(self, row: BulkRow) -> None:
        """One more."""
        self.done += 1
        self._progress.show("tasks", self.done, self._whole)


def show(report: BulkReport, *, as_json: bool) -> None:
    """The report: of an act those that did not obey, of a dry run all; the sum in any case."""
    from tasker_kafka.deploy.reading import jsonable

    shown: dict[str, Any] = jsonable(report)
    if as_json:
        print_json(shown)
        return
    told = [row for row in shown["rows"] if report.is_dry_run or row["outcome"] in ("rejected", "unanswered")]
    rows = [(row["task_id"], row["code"] or "–", row["message"]) for row in told[:SHOWN]]
    if rows:
        print_table(("task", "answer", "message"), rows)
    if len(told) > SHOWN:
        note(f"{len(told) - SHOWN} more are not shown; --json shows all")
    parts = {name: shown[name] for name in ("accepted", "already", "rejected", "unanswered") if shown[name]}
    sums = ", ".join(f"{count} {name}" for name, count in parts.items()) or "none matched"
    print_text(
        f"{report.action} of {counted(report.total, 'task')}{' (dry run)' if report.is_dry_run else ''}: {sums}"
    )
