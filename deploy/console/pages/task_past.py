"""The slider over a task's records: at its right end the task is as it is, anywhere else as it was."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from nicegui import ui
from nicegui.element import Element
from nicegui.events import ValueChangeEventArguments

from tasker_kafka.deploy.console.backend import TaskDetails

from .live import LiveHtml
from .markup import EMPTY, moment, tag

__all__ = ["PastSlider"]


class PastSlider:
    """`offset`: the record up to which the task is looked at; None: now."""

    def __init__(self, changed: Callable[[], Awaitable[None]]) -> None:
        self.offset: int | None = None
        self._changed = changed
        self._records: list[tuple[int, int, int]] = []  # seq, offset, time
        with Element("div").classes("as-of"):
            LiveHtml(tag("span", "As it was", class_="muted", id="as-of-label"), tag="span")
            self._slider = ui.slider(min=1, max=1, step=1, value=1, on_change=self._moved)
            self._slider.props('aria-label="Record up to which the task is shown" snap').mark("past")
            with Element("div").classes("line"):
                self._said = LiveHtml(tag="span").props("role=status").classes("note")
                self._now = ui.button("Now", on_click=self._back, color=None)
                self._now.props("no-caps unelevated").classes("btn")
                self._now.set_visibility(False)

    def covers(self, details: TaskDetails) -> None:
        """Take the records of the task as it is now; the slider stays at its right end."""
        records = {each.seq: (each.seq, each.offset, each.at) for each in details.report.transitions}
        found = [records[seq] for seq in sorted(records)]
        if found == self._records:
            return
        self._records = found
        self._slider.props["max"] = max(1, len(found))
        self._slider.set_value(max(1, len(found)))
        self._slider.set_enabled(len(found) > 1)
        self._say()

    async def _moved(self, event: ValueChangeEventArguments[float | None]) -> None:
        at = int(event.value or 1)
        is_now = at >= len(self._records)
        offset = None if is_now else self._records[at - 1][1]
        if offset == self.offset:
            return
        self.offset = offset
        self._say()
        await self._changed()

    def _back(self) -> None:
        self._slider.set_value(len(self._records))

    def _say(self) -> None:
        at = int(self._slider.value or 1)
        is_past = self.offset is not None
        self._now.set_visibility(is_past)
        if not is_past or at > len(self._records):
            count = len(self._records)
            self._said.show(tag("span", f"now, after {count} records") if count else EMPTY)
            return
        seq, offset, time = self._records[at - 1]
        self._said.show(tag("b", f"the past: seq {seq}, offset {offset}, {moment(time)} UTC"))
