"""One command to every task that the list's filter finds: first what would happen, to which, then a reason."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import msgspec
from nicegui import ui

from tasker_kafka.deploy.bulk import BulkOutcome, BulkReport, BulkRow
from tasker_kafka.schemas.errors import TaskerError
from tasker_kafka.schemas.identity import format_id
from tasker_kafka.schemas.settings.console import Role
from tasker_kafka.schemas.words import OperatorAction
from tasker_kafka.streams.projection import TaskQuery

from . import context
from .dialogs import Order, Said, ask
from .markup import Markup, join, table, tag, words
from .tasks_filter import Filter

__all__ = ["BULK", "offer_bulk", "report_markup"]

MOST_TASKS: Final = 1000
SHOWN_TASKS: Final = 100

BULK: Final = {
    OperatorAction.RETRY_TASK: ("Retry", "Retry these tasks"),
    OperatorAction.RESOLVE_TASK: ("Resolve", "Resolve these tasks by hand"),
    OperatorAction.CANCEL_TASK: ("Cancel", "Cancel these tasks"),
}


async def offer_bulk(action: OperatorAction, chosen: Filter, done: Callable[[], None]) -> None:
    """Ask what the command would do to the tasks that fit now, show it, and offer to do it."""
    backend, actor = context.backend(), context.actor()
    query = _as_of_now(chosen.query(), backend.now_ms())
    try:
        context.principal().require(Role.ADMIN)
        dry = await backend.bulk(query, action, actor=actor, reason="dry run", limit=MOST_TASKS)
    except TaskerError as error:
        ui.notify(" ".join(filter(None, (error.message, error.next_step))), position="top", type="negative")
        return

    async def send(order: Order) -> Said:
        report = await backend.bulk(
            query,
            action,
            dry_run=False,
            limit=MOST_TASKS,
            actor=actor,
            reason=order.reason,
            command_id=order.command_id,
            on_row=order.one_more(),
        )
        done()
        return Said(report_markup(report), is_refused=bool(report.unanswered))

    title = BULK[action][1]
    if not dry.accepted:
        ui.notify(
            f"{title}: none of {dry.total} tasks would take it ({_codes(dry)}).", position="top", type="info"
        )
        return
    ask(
        title,
        join((tag("p", "Filter: ", tag("b", chosen.said()), "."), report_markup(dry))),
        f"{BULK[action][0]} {dry.accepted} tasks",
        send,
        is_danger=action is OperatorAction.CANCEL_TASK,
        is_wide=True,
        role=Role.ADMIN,
        many=dry.total,
    )


def _as_of_now(query: TaskQuery, now: int) -> TaskQuery:
    """Tasks that are made while somebody reads the dialog were not in what was shown."""
    return msgspec.structs.replace(query, created_to=min(query.created_to or now, now))


def report_markup(report: BulkReport) -> Markup:
    """What a bulk did, or would do: how many, and which."""
    would = "would be" if report.is_dry_run else "were"
    parts = [f"{report.accepted} of {report.total} tasks {would} taken to"]
    parts += [f"{report.already} {would} there already"] if report.already else []
    parts += [f"{report.rejected} refuse ({_codes(report)})"] if report.rejected else []
    parts += [f"{report.unanswered} did not answer: send again"] if report.unanswered else []
    more = (
        f" The filter finds more than {MOST_TASKS}: only these are meant."
        if report.total >= MOST_TASKS
        else ""
    )
    dry = " Nothing has been done yet." if report.is_dry_run else ""
    rows = sorted(
        report.rows, key=lambda each: each.outcome is BulkOutcome.ACCEPTED, reverse=report.is_dry_run
    )
    shown = table("Tasks", ("Task", "Answer"), map(_row, rows[:SHOWN_TASKS]), empty="None.")
    rest = tag("p", f"and {len(rows) - SHOWN_TASKS} more", class_="note") if len(rows) > SHOWN_TASKS else None
    return join(
        (tag("p", f"{'; '.join(parts)}.{dry}{more}"), tag("details", tag("summary", "Which"), shown, rest))
    )


def _row(row: BulkRow) -> Markup:
    id_ = format_id(row.task_id)
    said = f"{words(row.code or row.outcome)}: {row.message}"
    link = tag("a", tag("code", id_), href=f"/console/tasks/{id_}", target="_blank")
    return tag("tr", tag("td", link, class_="nowrap"), tag("td", said, class_="wide"))


def _codes(report: BulkReport) -> str:
    shown = (f"{count} {words(code)}" for code, count in report.codes.items() if code != "accepted")
    return ", ".join(shown) or "no answer"
