"""The slider over a task's records: at its right end the task is as it is, anywhere else as it was."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from nicegui import ui
from nicegui.element import Element
from nicegui.events import GenericEventArguments

from tasker_kafka.deploy.console.backend import TaskDetails

from .live import LiveHtml
from .markup import EMPTY, moment, tag

__all__ = ["PastSlider"]

THROTTLE_SECONDS = 0.25


class PastSlider:
    """`offset`: the record up to which the task is looked at; None: now.

    A slider of the browser's own: it knows Home, End and the arrows, and readers of screens know it.
    """

    def __init__(self, changed: Callable[[], Awaitable[None]]) -> None:
        self.offset: int | None = None
        self._changed = changed
        self._records: list[tuple[int, int, int]] = []  # seq, offset, time
        with Element("div").classes("as-of"):
            LiveHtml(tag("label", "As it was", class_="muted", for_="past"), tag="span")
            self._slider = Element("input").props(
                'type=range id=past min=1 step=1 aria-describedby="past-said"'
            )
            self._slider.on(
                "input",
                self._moved,
                js_handler="(event) => emit(event.target.valueAsNumber)",
                throttle=THROTTLE_SECONDS,
            )
            with Element("div").classes("line"):
                self._said = LiveHtml(tag="span").props("id=past-said role=status").classes("note")
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
        self._place(len(found))
        self._say(len(found))

    async def _moved(self, event: GenericEventArguments) -> None:
        at = int(event.args)
        if 1 <= at <= len(self._records):
            await self._look_at(at)

    async def _back(self) -> None:
        self._place(len(self._records))
        await self._look_at(len(self._records))

    async def _look_at(self, at: int) -> None:
        offset = None if at == len(self._records) else self._records[at - 1][1]
        if offset == self.offset:
            return
        self.offset = offset
        self._say(at)
        await self._changed()

    def _place(self, at: int) -> None:
        self._slider.props["max"] = max(1, len(self._records))
        self._slider.props["value"] = max(1, at)
        self._slider.props["disabled"] = len(self._records) < 2
        self._slider.update()

    def _say(self, at: int) -> None:
        is_past = self.offset is not None
        self._now.set_visibility(is_past)
        if not is_past:
            count = len(self._records)
            self._said.show(tag("span", f"now, after {count} records") if count else EMPTY)
            return
        seq, offset, time = self._records[at - 1]
        self._said.show(tag("b", f"the past: seq {seq}, offset {offset}, {moment(time)} UTC"))
