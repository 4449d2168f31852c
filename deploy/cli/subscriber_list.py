"""`tasker subscriber list`, `show` and `forget`: how far subscriber groups are, and taking one out of the registry."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from .completing import complete_group
from .console import counted, moment, note, print_json, print_table, print_text
from .guard import run
from .options import AsJson
from .session import Session, in_session

if TYPE_CHECKING:
    from tasker_kafka.deploy.reading.subscriber_rows import GroupReport, GroupRow
    from tasker_kafka.schemas.subscriptions import SubscriberGroup

__all__ = ["forget_group", "list_groups", "show_group"]

GroupName = Annotated[
    str,
    typer.Argument(
        metavar="GROUP",
        help="Subscriber group, as `subscriber list` shows it.",
        autocompletion=complete_group,
    ),
]
CountDead = Annotated[
    bool,
    typer.Option(
        "--dead-letters/--no-dead-letters", help="Count dead letters; that reads their queues to the end."
    ),
]


def list_groups(dead_letters: CountDead = True, as_json: AsJson = False) -> None:
    """Subscriber groups: members, lag in records and seconds, retries that wait, dead letters."""

    async def work(session: Session) -> list[GroupRow]:
        from tasker_kafka.deploy.reading.subscriber_groups import list_groups as read

        return await read(session.log, session.names, with_dead_letters=dead_letters)

    rows = run(in_session(work))
    if as_json:
        from tasker_kafka.deploy.reading import jsonable

        print_json({"groups": jsonable(rows)})
        return
    print_table(
        ("group", "members", "lag", "seconds", "retries", "dead", "oldest dead", ""),
        [
            (
                row.group,
                str(row.members),
                str(row.lag),
                f"{row.lag_seconds:.1f}",
                str(row.retry_depth),
                "–" if row.dead_letters is None else str(row.dead_letters),
                moment(row.oldest_dead_at),
                remark(row),
            )
            for row in rows
        ],
        empty="no subscriber groups: `tasker subscriber -m MODULE` starts one",
    )


def show_group(group: GroupName, dead_letters: CountDead = True, as_json: AsJson = False) -> None:
    """One group in full: its members and their partitions, lag, retry tiers, dead letters by class."""

    async def work(session: Session) -> GroupReport:
        from tasker_kafka.deploy.reading.subscriber_groups import read_group

        return await read_group(session.log, session.names, group, with_dead_letters=dead_letters)

    report = run(in_session(work))
    if as_json:
        from tasker_kafka.deploy.reading import jsonable

        print_json(jsonable(report))
        return
    print_group(report)


def forget_group(group: GroupName, as_json: AsJson = False) -> None:
    """Take a stopped group out of the registry: it owes no receipts any more. Exit code 1 while it has members."""

    async def work(session: Session) -> SubscriberGroup:
        from tasker_kafka.deploy.reading.subscriber_groups import forget_group as forget

        from .options import current_actor

        return await forget(session.log, session.names, group, client_id=current_actor())

    known = run(in_session(work))
    if as_json:
        print_json({"group": known.group, "subscriptions": [each.name for each in known.subscriptions]})
        return
    print_text(f"{known.group} is forgotten: it owes no receipts")
    note("its offsets, retry topics and dead letters stay; a member that starts announces it anew")


def print_group(report: GroupReport) -> None:
    """The report as tables."""
    row = report.row
    print_text(
        f"{row.group}  {counted(row.members, 'member')}, lag {counted(row.lag, 'record')}, {row.lag_seconds:.1f} s; "
        f"retries that wait: {row.retry_depth}"
    )
    if said := remark(row):
        print_text(said)
    if report.subscriptions:
        print_table(
            ("subscription", "events", "delivery", "since"),
            [
                (each.name, ", ".join(each.patterns), each.delivery or "as published", moment(each.since))
                for each in report.subscriptions
            ],
            title="",
        )
    print_table(
        ("member", "client", "host", "partitions"),
        [
            (each.member_id, each.client_id, each.host, ", ".join(map(str, each.partitions)))
            for each in report.members
        ],
        title="",
        empty="no member: nobody serves this group",
    )
    print_partitions(report)


def print_partitions(report: GroupReport) -> None:
    """Lag, retries and dead letters."""
    if report.partitions:
        print_table(
            ("partition", "member", "committed", "end", "lag", "seconds", "lost"),
            [
                (
                    f"{each.topic}/{each.partition}",
                    each.member_id or "–",
                    "–" if each.committed is None else str(each.committed),
                    str(each.end),
                    str(each.lag),
                    f"{each.lag_seconds:.1f}",
                    str(each.lost) if each.lost else "",
                )
                for each in report.partitions
            ],
            title="",
        )
    if report.retries:
        print_table(
            ("tier", "waiting", "oldest", "next due"),
            [
                (each.tier, str(each.depth), moment(each.oldest_at), moment(each.next_due_at))
                for each in report.retries
            ],
            title="",
        )
    if report.dead_letters:
        print_table(
            ("dead letters", "open", "oldest"),
            [(each.failure_class, str(each.letters), moment(each.oldest_at)) for each in report.dead_letters],
            title="",
        )


def remark(row: GroupRow) -> str:
    """What somebody should know beside the numbers."""
    found = []
    if row.lost:
        found.append(f"{row.lost} records outlived their retention unread")
    if row.suspects:
        found.append(f"{row.suspects} events have ended their process and are tried alone")
    if row.left_out:
        found.append(
            f"{row.left_out} dead letters hold a place and a hash: their queue takes no larger records"
        )
    if not row.members:
        found.append("nobody serves it")
    if not row.is_announced:
        found.append("not in the registry")
    return "; ".join(found)
