"""`tasker receipts`: what became of acknowledged events, and the watcher that finds what is missing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from tasker_kafka.schemas.words import ReceiptOutcome

from . import session
from .console import moment, note, print_json, print_table, print_text
from .guard import run
from .options import AsJson, Group, Limit, parse_moment
from .run_roles import LogLevel, start
from .session import Session, in_session

if TYPE_CHECKING:
    from tasker_kafka.handlers.delivery.receipt_query import EventReceipts, ReceiptRow

__all__ = ["app"]

app = typer.Typer(help="Receipts of acknowledged events, and what is missing.", no_args_is_help=True)

Since = Annotated[
    str | None,
    typer.Option("--since", help="Read what is as young only: 2026-01-31T09:30Z, or 30m, 2h, 7d ago."),
]


@app.command("list")
def list_receipts(
    group: Group = None,
    outcome: Annotated[
        ReceiptOutcome | None,
        typer.Option("--outcome", help="With this outcome; missing: those that have not come since."),
    ] = None,
    limit: Limit = 50,
    as_json: AsJson = False,
) -> None:
    """The newest receipts."""

    async def work(session: Session) -> list[ReceiptRow]:
        from tasker_kafka.handlers.delivery.receipt_query import list_receipts as read

        return await read(session.log, session.names, limit=limit, group=group, outcome=outcome)

    rows = run(in_session(work))
    from tasker_kafka.deploy.reading import jsonable

    if as_json:
        print_json({"receipts": jsonable(rows)})
        return
    print_table(
        ("at", "event", "id", "group", "subscription", "outcome", "deliveries"),
        [
            (
                moment(row.at),
                row.event_name,
                row.event_id,
                row.group,
                row.subscription,
                row.outcome,
                str(row.deliveries),
            )
            for row in rows
        ],
        empty="no receipts",
    )


@app.command()
def show(
    event_id: Annotated[str, typer.Argument(metavar="EVENT_ID", help="Id of the event (ce_id).")],
    namespace: Annotated[
        str | None,
        typer.Option(
            "--namespace", help="Of the event; of a foreign one its source. Needed if ids are not unique."
        ),
    ] = None,
    since: Since = None,
    as_json: AsJson = False,
) -> None:
    """What became of one event: who has acknowledged it, and who still owes a receipt."""

    async def work(session: Session) -> EventReceipts:
        from tasker_kafka.handlers.delivery.receipt_query import read_receipts as read

        since_ms = None if since is None else parse_moment(since, session.log.now_ms())
        return await read(session.log, session.names, event_id, namespace=namespace, since_ms=since_ms)

    found = run(in_session(work))
    if as_json:
        from tasker_kafka.deploy.reading import jsonable

        print_json({**jsonable(found), "is_acknowledged": found.is_acknowledged})
    else:
        _print(found)


def _print(found: EventReceipts) -> None:
    published = "no longer kept" if found.published_at is None else moment(found.published_at)
    print_text(f"event      {found.event_name}\nsource     {found.source}\npublished  {published}")
    print_table(
        ("group", "subscription", "outcome", "at", "deliveries", "by", ""),
        [
            (
                row.group,
                row.subscription,
                row.outcome,
                moment(row.at),
                str(row.deliveries),
                row.written_by or "–",
                "late" if row.was_missing else "",
            )
            for row in found.receipts
        ],
        empty="nobody owes a receipt for it",
    )
    if found.published_at is None:
        note("the event is older than its retention: who else owed a receipt cannot be told")


@app.command()
def watch(log_level: LogLevel = "INFO") -> None:
    """Run the watcher until told to stop: a receipt that is missing after its deadline is an alert and a dead letter.

    Several share the work. `events.acknowledged.receipt_deadline_seconds` is the deadline.
    """
    settings = start(log_level)
    from tasker_kafka.deploy.receipt_watching import run_watcher_role

    run_watcher_role(lambda: session.connect(settings), settings)
