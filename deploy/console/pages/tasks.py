"""/console: the list of tasks, live, with filters, counts, commands to many, and a way to submit one."""

from __future__ import annotations

from typing import Final

import msgspec
from fastapi import Request
from nicegui import ui
from nicegui.element import Element

from tasker_kafka.schemas.errors import TaskerError
from tasker_kafka.schemas.settings.console import Role
from tasker_kafka.schemas.words import OperatorAction, TaskStatus
from tasker_kafka.streams.projection import Changes

from . import context, shell
from .dialogs import text_field
from .live import LiveHtml, Refresher, follow
from .markup import EMPTY, Markup, join, tag
from .tasks_bulk import BULK, offer_bulk
from .tasks_filter import FIELDS, Filter
from .tasks_submit import offer_submit
from .tasks_view import counts, pager, rows, task_table

__all__ = ["TaskList", "show_tasks"]

PAGE_TASKS: Final = 50
LIST_REST_SECONDS: Final = 0.5
LOOK_AGAIN_SECONDS: Final = 5.0
_LABELS: Final = {
    "text": ("Text", "Context, reason, ids"),
    "namespace": ("Namespace", ""),
    "template": ("Template", ""),
    "tag": ("Tag", "web, eu: both"),
    "after": ("Created after, UTC", "2026-01-31T09:30"),
    "before": ("Created before, UTC", "2026-01-31"),
}


@ui.page("/console", response_timeout=30.0)
async def show_tasks(request: Request) -> None:
    """The filters are in the address: a link, or a page that was loaded again, shows the same."""
    with shell.frame("Tasks", active="/console"):
        page = TaskList(Filter.from_address(request.query_params))
        page.build()
        await page.refresh()
        page.start()


class TaskList:
    """What one visitor looks at."""

    def __init__(self, chosen: Filter) -> None:
        self._chosen = chosen
        self._cursors: list[str | None] = [None]
        """Of the pages up to the one that is shown."""
        self._next: str | None = None
        self._refresher = Refresher(self.refresh, rest_seconds=LIST_REST_SECONDS)

    def build(self) -> None:
        """Make the parts of the page, empty."""
        with Element("div").classes("page-head"):
            LiveHtml(tag("h1", "Tasks")).classes("grow")
            self._buttons = LiveHtml(self._actions()).classes("line")
            if context.may_operate():
                self._buttons.props('role=group aria-label="Commands for the tasks that the filter finds"')
        self._notice = LiveHtml().props("role=status")
        self._counts = LiveHtml().style("margin-bottom: 12px")
        with (
            Element("form")
            .classes("filters")
            .props('role=search aria-label="Filter tasks" onsubmit="return false"')
        ):
            for name in FIELDS:
                self._field(name)
        self._table = LiveHtml()
        self._pager = LiveHtml()
        for each in (self._buttons, self._counts, self._table, self._pager):
            each.on_act(self._act)

    def start(self) -> None:
        """Follow the tasks from now on."""
        self._refresher.start()
        follow(self._moved)
        ui.timer(LOOK_AGAIN_SECONDS, self._refresher.ask, immediate=False)

    def _field(self, name: str) -> None:
        label, hint = _LABELS[name]
        field = text_field(label, getattr(self._chosen, name))
        field.props("debounce=350 clearable").mark(f"filter-{name}")
        if hint:
            field.props["placeholder"] = hint

        async def changed() -> None:
            await self._filter(msgspec.structs.replace(self._chosen, **{name: str(field.value or "")}))

        field.on_value_change(changed)

    def _actions(self) -> Markup:
        if not context.may_operate():
            return EMPTY
        why = context.closed_why()
        many = (
            tag(
                "button", f"{label} all…", type="button", id=f"bulk-{action}", class_="btn",
                data_act="closed" if why else "bulk", data_value=why or str(action),
                aria_disabled="true" if why else None,
                title=why or "Shows first which of the tasks that the filter finds it would reach.",
            )
            for action, (label, _) in BULK.items()
            if context.may(Role.ADMIN)
        )  # fmt: skip
        submit = tag(
            "button", "Submit a task…", type="button", id="submit", class_="btn" if why else "btn btn-primary",
            data_act="closed" if why else "submit", data_value=why or "", title=why,
            aria_disabled="true" if why else None,
        )  # fmt: skip
        return join((*many, submit))

    # ------------------------------------------------------------------------------------------- keeping

    def _moved(self, changes: Changes) -> None:
        if changes.tasks or changes.is_cut:
            self._refresher.ask()

    async def refresh(self) -> None:
        """Read the list and the counts, and send what changed."""
        try:
            query = self._chosen.query()
            found = await context.backend().counts(self._chosen.query(with_states=False))
            page = await context.backend().tasks(query, limit=PAGE_TASKS, cursor=self._cursors[-1])
        except (TaskerError, ValueError) as error:
            self._notice.show(tag("p", str(error), class_="alert tone-retry"))
            return
        finally:
            self._buttons.show(self._actions())
        self._notice.show(EMPTY)
        self._next = page.next_cursor
        self._counts.show(counts(found, self._chosen))
        drawn = rows(page.rows)
        is_filtered = self._chosen != Filter()
        self._table.keep(" ".join(drawn), lambda: task_table(drawn, is_filtered=is_filtered), drawn)
        many = len(self._cursors) > 1 or page.next_cursor is not None
        self._pager.show(pager(len(self._cursors), has_more=page.next_cursor is not None) if many else EMPTY)

    async def _filter(self, chosen: Filter) -> None:
        self._chosen = chosen
        self._cursors = [None]
        ui.navigate.history.replace(f"/console{chosen.address()}")
        await self.refresh()

    # ------------------------------------------------------------------------------------------- acting

    async def _act(self, act: str, value: str) -> None:
        if act == "state":
            await self._filter(self._chosen.toggled(TaskStatus(value)))
        elif act == "older" and self._next is not None:
            self._cursors.append(self._next)
            await self.refresh()
        elif act == "newer" and len(self._cursors) > 1:
            self._cursors.pop()
            await self.refresh()
        elif act == "submit":
            await offer_submit()
        elif act == "bulk":
            await self._bulk(OperatorAction(value))
        elif act == "closed":
            ui.notify(value, position="top", type="info", timeout=8000)

    async def _bulk(self, action: OperatorAction) -> None:
        try:
            await offer_bulk(action, self._chosen, self._refresher.ask)
        except ValueError as error:
            ui.notify(str(error), position="top", type="negative")
