"""How subscriber groups look: who is behind, who waits for a retry, who is dead. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from urllib.parse import quote

from tasker_kafka.deploy.reading.subscriber_rows import GroupReport, GroupRow, PartitionRow
from tasker_kafka.handlers.delivery.receipt_query import ReceiptRow

from .markup import EMPTY, Markup, Number, facts, join, table, tag, when
from .ops_parts import mark

__all__ = ["group_page", "group_table", "lag_table", "missing_panel"]


def group_table(groups: Iterable[GroupRow], now: int) -> Markup:
    """One line for each group."""
    lag = map(Number, ("Lag", "Oldest", "Waits for retry"))
    return table(
        "Subscriber groups",
        ("Group", "Members", *lag, "Dead letters", Number("Lost"), "Release"),
        (_row(each, now) for each in groups),
        empty="No group has announced itself: start one with `tasker subscriber -m MODULE`.",
    )


def _row(row: GroupRow, now: int) -> Markup:
    link = tag("a", row.group, href=f"/console/subscribers/{row.group}")
    said = EMPTY if row.is_announced else tag("div", "not announced", class_="muted")
    return tag(
        "tr",
        tag("td", link, said),
        tag("td", members_mark(row.members, row.lag)),
        tag("td", _records(row.lag), class_="number"),
        tag("td", _late(row), class_="number nowrap"),
        tag("td", f"{row.retry_depth:,}", class_="number"),
        tag("td", dead_link(row.group, row.dead_letters), class_="nowrap"),
        tag("td", f"{row.lost:,}" if row.lost else "–", class_="number"),
        tag("td", row.version or "–", tag("div", when(row.announced_at, now), class_="muted")),
    )


def lag_table(groups: Iterable[GroupRow], named: Collection[str]) -> Markup:
    """How far the groups are that took something of what is shown (`named`), or are behind and may still get it."""
    every = [*groups]
    shown = [each for each in every if each.group in named or each.lag or each.retry_depth]
    rest = len(every) - len(shown)
    note = EMPTY
    if shown and rest:
        more = "1 more group has" if rest == 1 else f"{rest} more groups have"
        note = tag("p", f"{more} no lag, and said nothing of these events.", class_="note")
    drawn = table(
        "Subscriber groups and their lag",
        ("Group", "Members", Number("Lag"), Number("Oldest of it"), Number("Waits for retry")),
        (_lag_row(each) for each in shown),
        empty="No group is behind, and none has answered for these events.",
    )
    return join((note, drawn))


def _lag_row(row: GroupRow) -> Markup:
    return tag(
        "tr",
        tag("td", tag("a", row.group, href=f"/console/subscribers/{quote(row.group, safe='')}")),
        tag("td", members_mark(row.members, row.lag)),
        tag("td", _records(row.lag), class_="number"),
        tag("td", _late(row), class_="number"),
        tag("td", f"{row.retry_depth:,}", class_="number"),
    )


def members_mark(members: int, lag: int) -> Markup:
    """How many there are; nobody is a fault where something waits."""
    if members:
        return mark("done", "✓", "1 member" if members == 1 else f"{members} members")
    return mark("failed", "!", "nobody") if lag else mark("waiting", "○", "nobody")


def dead_link(group: str, letters: int | None) -> Markup:
    """The number of its open dead letters, as a way to them."""
    if letters is None:
        return tag("span", "not read", class_="muted")
    if not letters:
        return mark("done", "✓", "none")
    return tag("a", mark("failed", "✕", f"{letters:,} open"), href=f"/console/dlq?group={group}")


def _records(lag: int) -> str:
    return "1 record" if lag == 1 else f"{lag:,} records"


def _late(row: GroupRow) -> str:
    return f"{row.lag_seconds:,.0f} s" if row.lag else "–"


def group_page(report: GroupReport, now: int) -> Markup:
    """One group in full."""
    row = report.row
    lost = EMPTY
    if row.lost:
        text = f"{row.lost:,} events were removed by retention before the group had finished them. They are lost to it."
        lost = tag("p", text, class_="alert tone-failed")
    return tag(
        "div",
        lost,
        tag("section", _facts(report, now), class_="panel"),
        _panel("Subscriptions", _subscriptions(report, now)),
        _panel("Members", _members(report)),
        _panel("Partitions", _partitions(report.partitions)),
        _panel("Waiting for a retry", _retries(report, now)),
        _panel("Open dead letters", _dead(report, now)),
        class_="stack",
    )


def _panel(title: str, content: Markup) -> Markup:
    return tag("section", tag("h2", title), content, class_="panel")


def _facts(report: GroupReport, now: int) -> Markup:
    row = report.row
    return facts(
        (
            ("Members", members_mark(row.members, row.lag)),
            ("Lag", _records(row.lag)),
            ("Oldest of it", _late(row)),
            ("Order kept by", report.ordering),
            ("Release", row.version),
            ("Announced", when(row.announced_at, now)),
        )
    )


def _subscriptions(report: GroupReport, now: int) -> Markup:
    rows = (
        tag(
            "tr",
            tag("td", each.name),
            tag("td", *(tag("code", text) for text in _spaced(each.patterns))),
            tag("td", (each.delivery or "as published").replace("_", " ")),
            tag("td", when(each.since, now), class_="nowrap"),
        )
        for each in report.subscriptions
    )
    return table(
        "Subscriptions", ("Name", "Events", "Delivery", "Since"), rows, empty="It has announced none."
    )


def _spaced(names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(f"{each} " for each in names)


def _members(report: GroupReport) -> Markup:
    rows = (
        tag(
            "tr",
            tag("td", tag("code", each.client_id)),
            tag("td", each.host),
            tag("td", ", ".join(map(str, each.partitions)) or "none"),
        )
        for each in report.members
    )
    return table("Members", ("Client", "Host", "Partitions"), rows, empty="Nobody serves this group now.")


def _partitions(partitions: Iterable[PartitionRow]) -> Markup:
    rows = (
        tag(
            "tr",
            tag("td", tag("code", f"{each.topic}/{each.partition}"), class_="nowrap"),
            tag("td", "–" if each.committed is None else f"{each.committed:,}", class_="number"),
            tag("td", f"{each.end:,}", class_="number"),
            tag("td", _records(each.lag), class_="number"),
            tag("td", f"{each.lag_seconds:,.0f} s" if each.lag else "–", class_="number"),
            tag("td", "assigned" if each.member_id else "nobody has it"),
        )
        for each in partitions
    )
    heads = ("Partition", Number("Finished below"), Number("End"), Number("Lag"), Number("Oldest"), "Member")
    return table("Partitions", heads, rows, empty="It reads nothing.")


def _retries(report: GroupReport, now: int) -> Markup:
    rows = (
        tag(
            "tr",
            tag("td", each.tier),
            tag("td", f"{each.depth:,}", class_="number"),
            tag("td", when(each.oldest_at, now), class_="nowrap"),
            tag("td", when(each.next_due_at, now), class_="nowrap"),
            tag("td", tag("code", each.topic)),
        )
        for each in report.retries
    )
    return table(
        "Retries",
        ("Tier", Number("Events"), "Oldest", "Next due", "Topic"),
        rows,
        empty="It has no retry topics.",
    )


def _dead(report: GroupReport, now: int) -> Markup:
    group = report.row.group
    rows = (
        tag(
            "tr",
            tag("td", each.failure_class.replace("_", " ")),
            tag(
                "td",
                tag("a", f"{each.letters:,}", href=f"/console/dlq?group={group}&class={each.failure_class}"),
                class_="number",
            ),
            tag("td", when(each.oldest_at, now), class_="nowrap"),
        )
        for each in report.dead_letters
    )
    return table("Dead letters", ("Why", Number("Letters"), "Oldest"), rows, empty="None is open.")


def missing_panel(receipts: Iterable[ReceiptRow], now: int) -> Markup:
    """Acknowledged events whose receipt did not come in time, and has not come since."""
    rows = (
        tag(
            "tr",
            tag("td", when(each.at, now), class_="nowrap"),
            tag("td", each.event_name),
            tag("td", tag("code", each.event_id), class_="nowrap"),
            tag("td", each.subscription),
        )
        for each in receipts
    )
    drawn = table(
        "Missing receipts",
        ("Said", "Event", "Event id", "Subscription"),
        rows,
        empty="No receipt is missing.",
    )
    return tag("div", _panel("Missing receipts", drawn), style="margin-top: 14px")
