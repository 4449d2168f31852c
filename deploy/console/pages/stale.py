"""/console/stale: the ledger of tasks that need a person, and what that person decides."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, Final

from nicegui import ui

from tasker_kafka.schemas.errors import TaskerError
from tasker_kafka.schemas.identity import format_id, parse_id
from tasker_kafka.schemas.redaction import redact
from tasker_kafka.schemas.settings.console import Role
from tasker_kafka.schemas.words import OperatorAction
from tasker_kafka.streams.projection import LedgerRow

from . import context
from .dialogs import Order, Said, ask
from .live import LiveHtml
from .markup import EMPTY, Markup, chip, cut, facts, join, json_block, table, tag, when, words
from .ops_parts import Field, Section, fault, filter_form, mark, now_ms, require, subject
from .shell import frame

__all__ = ["entry_page", "entry_table", "ledger_mark"]

PATH: Final = "/console/stale"
MOST: Final = 100
WAIT_SECONDS: Final = 10.0
_ALL: Final = "all"
_NOTE: Final = (
    "Tasks that have waited too long, failed for good or were quarantined: each needs somebody to decide."
)
_STATUSES: Final[Mapping[str, tuple[str, str]]] = {
    "pending": ("retry", "!"),
    "resolved": ("resolved", "✎"),
    "failed": ("failed", "✕"),
    "cancelled": ("stopped", "⊘"),
}
_DECISIONS: Final[Mapping[OperatorAction, tuple[str, str]]] = {
    OperatorAction.RETRY_TASK: (
        "Retry the task",
        "Failed steps get a new budget of attempts, and the task goes on.",
    ),
    OperatorAction.RESOLVE_TASK: (
        "Resolve the task",
        "The task ends as resolved by hand. Nothing more of it runs; say in the reason how it was settled.",
    ),
    OperatorAction.CANCEL_TASK: (
        "Cancel the task",
        "The task ends as cancelled. Running handlers are told; nothing more of it runs.",
    ),
}


@ui.page(PATH)
def page() -> None:
    """The list."""
    values = dict(ui.context.client.request.query_params)
    status = values.get("status") or "pending"
    choices = [(each, each) for each in (*_STATUSES, _ALL)]
    with frame("Stale tasks", active=PATH):
        LiveHtml(subject("Stale tasks"))
        LiveHtml(tag("p", _NOTE, class_="note")).style("margin-bottom: 14px")
        LiveHtml(filter_form((Field("status", "Status", choices),), values))
        cursor = values.get("cursor") or None

        async def read() -> Markup:
            found = await context.backend().stale(
                status=None if status == _ALL else status, limit=MOST, cursor=cursor
            )
            more = EMPTY
            if found.next_cursor is not None:
                link = f"{PATH}?status={status}&cursor={found.next_cursor}"
                more = tag("p", tag("a", "Older entries", href=link, rel="next"))
            return join((entry_table(found.rows, now_ms()), more))

        Section(read)


@ui.page(PATH + "/{task_id}")
async def page_of_one(task_id: str) -> None:
    """One entry."""
    with frame("Stale task", active=PATH):
        LiveHtml(tag("p", tag("a", "Stale tasks", href=PATH), f" / {task_id}", class_="crumbs"))
        try:
            identity = parse_id(task_id)
            await context.backend().stale_entry(identity)
        except TaskerError as error:
            LiveHtml(join((subject("Stale task"), fault(error))))
            return
        _Entry(identity).draw()


class _Entry:
    """The page of one entry, which somebody settles."""

    def __init__(self, task_id: bytes) -> None:
        self._task_id = task_id

    def draw(self) -> None:
        """It is read again and again: somebody else may settle it."""
        self._section = Section(self._read)
        self._section.html.on_act(self._act)

    async def _read(self) -> Markup:
        return entry_page(await context.backend().stale_entry(self._task_id), now_ms())

    def _act(self, act: str, _: str) -> None:
        action = OperatorAction(act)
        title, meaning = _DECISIONS[action]

        async def send(order: Order) -> Said:
            require(Role.OPERATE)
            outcome = await context.backend().resolve_stale(
                self._task_id,
                action,
                wait=WAIT_SECONDS,
                actor=context.actor(),
                reason=order.reason,
                command_id=order.command_id,
            )
            self._section.ask()
            return Said(outcome.message)

        ask(title, tag("p", meaning), title, send, is_danger=action is OperatorAction.CANCEL_TASK)


# ------------------------------------------------------------------------------------------- drawing


def ledger_mark(status: str) -> Markup:
    """An entry's status."""
    tone, sign = _STATUSES.get(status, ("waiting", "?"))
    return mark(tone, sign, status)


def entry_table(rows: Iterable[LedgerRow], now: int) -> Markup:
    """The newest first."""
    return table(
        "Stale tasks",
        ("Since", "Status", "Reason", "Message", "Template", "Task", "State now"),
        (_row(each, now) for each in rows),
        empty="No task waits for a person.",
    )


def _row(row: LedgerRow, now: int) -> Markup:
    task_id = format_id(row.task_id)
    return tag(
        "tr",
        tag("td", when(row.at, now), class_="nowrap"),
        tag("td", ledger_mark(row.status)),
        tag("td", words(row.reason)),
        tag("td", cut(row.message, 200), class_="wide"),
        tag("td", _template(row)),
        tag("td", tag("a", tag("code", task_id), href=f"{PATH}/{task_id}"), class_="nowrap"),
        tag("td", "–" if row.state is None else chip(row.state)),
    )


def _template(row: LedgerRow) -> str:
    return "–" if row.template is None else f"{row.namespace}/{row.template}"


def entry_page(row: LedgerRow, now: int) -> Markup:
    """One entry with its snapshot, and what can be decided while it is pending."""
    task_id = format_id(row.task_id)
    buttons = EMPTY
    if row.status == "pending" and context.may_operate():
        buttons = join(map(_button, _DECISIONS))
    link = tag("a", tag("code", task_id), href=f"/console/tasks/{task_id}")
    return tag(
        "div",
        subject(_template(row), ledger_mark(row.status), tag("span", class_="grow"), buttons),
        tag("p", row.message, class_="alert tone-retry"),
        tag(
            "section",
            facts(
                (
                    ("Task", link),
                    ("State now", None if row.state is None else chip(row.state)),
                    ("Why it is here", words(row.reason)),
                    ("Since", when(row.at, now)),
                    ("Settled by", row.actor),
                )
            ),
            class_="panel",
        ),
        tag(
            "section",
            tag("h2", "As it was when it came here, secrets hidden"),
            json_block(_snapshot(row.snapshot), "Snapshot"),
            class_="panel",
        ),
        class_="stack",
    )


def _button(action: OperatorAction) -> Markup:
    kind = {OperatorAction.RETRY_TASK: " btn-primary", OperatorAction.CANCEL_TASK: " btn-danger"}.get(
        action, ""
    )
    text = f"{_DECISIONS[action][0]}…"
    return tag("button", text, type="button", class_=f"btn{kind}", data_act=action.value, id=action.value)


def _snapshot(data: bytes) -> Any:
    """What was written, secrets hidden; its text where it is no JSON."""
    try:
        return redact(json.loads(data))
    except ValueError:
        return redact(data.decode("utf-8", "replace"))
