"""What happened, as the log has it: transitions with offsets, answers to commands, published events. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final
from urllib.parse import quote

from tasker_kafka.deploy.console.backend.shapes import TaskDetails
from tasker_kafka.deploy.reading import AnswerReport, TransitionReport
from tasker_kafka.schemas.identity import format_id
from tasker_kafka.streams.projection import EventRow

from .markup import EMPTY, Markup, chip, json_block, table, tag, when, words

__all__ = ["PAGE_ROWS", "data", "events", "transitions"]

PAGE_ROWS: Final = 200
"""Transitions of a page: the newest stand first, older ones are asked for."""


def transitions(details: TaskDetails, shown: int) -> Markup:
    """The newest `shown` transitions, newest first, and the answers to commands."""
    every = details.report.transitions
    rows = [_transition(each) for each in reversed(every[-shown:])]
    rest = len(every) - len(rows)
    more = EMPTY
    if rest > 0:
        more = tag(
            "button", f"Show {min(rest, PAGE_ROWS)} older of {rest}", type="button", class_="btn",
            data_act="older", id="older",
        )  # fmt: skip
    heads = ("Seq", "Offset", "At", "Of", "From", "To", "Event", "Cause", "By", "Reason")
    drawn = table(f"Transitions, newest first, {len(every)} in all", heads, rows, empty="None.")
    return tag("div", _answers(details.report.answers), drawn, more, class_="stack")


def events(rows: Sequence[EventRow] | None, fault: str | None, lag: Markup = EMPTY) -> Markup:
    """The domain events that name the task, each with what became of it; `lag`: how far the groups are."""
    if fault is not None:
        return tag("p", fault, class_="alert tone-retry")
    if rows is None:
        return tag("p", "Reading…", class_="note")
    heads = ("Fired", "Event", "Step", "Delivery", "Key", "Place", "Receipts and dead letters")
    drawn = table(
        "Domain events", heads, map(_event, rows), empty="No event of this task is in the projection."
    )
    link = tag("a", "Subscribers", href="/console/subscribers")
    said = "What nobody has acknowledged may still be on its way: the lag says to whom. "
    note = tag("p", said, link, " has every group.", class_="note") if rows else None
    return tag("div", drawn, lag, note, class_="stack")


def data(details: TaskDetails) -> Markup:
    """The task's context and output."""
    output = details.report.output
    return tag(
        "div",
        tag("section", tag("h2", "Context"), json_block(details.report.context, "Context"), class_="panel"),
        tag(
            "section",
            tag("h2", "Output"),
            tag("p", "The task is not complete.", class_="note")
            if output is None
            else json_block(output, "Output"),
            class_="panel",
        ),
        class_="stack",
    )


def _transition(each: TransitionReport) -> Markup:
    step = each.entity.removeprefix("step:") if each.entity.startswith("step:") else None
    entity = (
        "task" if step is None else tag("a", step, href=f"?step={step}", data_act="step", data_value=step)
    )
    return tag(
        "tr",
        tag("td", each.seq),
        tag("td", each.offset),
        tag("td", when(each.at, is_exact=True), class_="nowrap"),
        tag("td", entity),
        tag("td", "–" if each.from_state is None else chip(each.from_state)),
        tag("td", chip(each.to_state)),
        tag("td", words(each.event)),
        tag("td", words(each.cause)),
        tag("td", each.actor or ""),
        tag("td", each.reason or "", class_="wide"),
    )


def _answers(answers: Sequence[AnswerReport]) -> Markup | None:
    if not answers:
        return None
    rows = (
        tag(
            "tr",
            tag("td", when(each.at), class_="nowrap"),
            tag("td", words(each.code)),
            tag("td", each.message, class_="wide"),
            tag("td", tag("code", format_id(each.command_id))),
        )
        for each in reversed(answers)
    )
    drawn = table("Answers to commands", ("At", "Answer", "Message", "Command"), rows, empty="None.")
    return tag("section", tag("h2", "Answers to commands"), drawn, class_="panel")


def _event(row: EventRow) -> Markup:
    return tag(
        "tr",
        tag("td", when(row.fired_at), class_="nowrap"),
        tag("td", tag("code", row.name), " ", tag("span", row.version, class_="muted")),
        tag("td", "" if row.step is None else f"{row.step}" + (f" #{row.attempt}" if row.attempt else "")),
        tag("td", words(row.delivery)),
        tag("td", row.key, class_="wide"),
        tag("td", f"{row.partition}:{row.offset}", title=row.topic, class_="nowrap"),
        tag("td", _fate(row), class_="wide"),
    )


def _fate(row: EventRow) -> Markup:
    receipts = (
        tag(
            "li",
            chip(_RECEIPT_STATE.get(each.outcome, "pending"), words(each.outcome)),
            _group(each.group),
            tag(
                "span",
                f"{each.subscription}, ",
                when(each.at),
                f", {each.deliveries} deliveries" if each.deliveries > 1 else "",
                " (was missing)" if each.was_missing else "",
            ),
        )
        for each in row.receipts
    )
    letters = (
        tag(
            "li",
            chip("error", f"dead letter, {words(each.state)}"),
            _group(each.group),
            tag("a", tag("code", each.place), href=f"/console/dlq/{each.place}"),
            tag("span", ": ".join(filter(None, (each.error_type, each.message)))),
        )
        for each in row.letters
    )
    lines = [*receipts, *letters]
    return tag("ul", *lines, class_="waits") if lines else tag("span", "no receipt", class_="muted")


def _group(name: str) -> Markup:
    """A subscriber group, with the way to its members and its lag."""
    return tag("a", name, href=f"/console/subscribers/{quote(name, safe='')}")


_RECEIPT_STATE: Final = {
    "handled": "complete",
    "filtered": "cancelled",
    "dead_letter": "error",
    "dead": "error",
    "missing": "waiting_for_retry",
}
