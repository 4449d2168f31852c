"""The controls over the table of a task's steps: a field to type in, and a switch per state."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import msgspec
from nicegui.element import Element

from tasker_kafka.deploy.reading import StepReport
from tasker_kafka.schemas.words import StepStatus

from .dialogs import text_field
from .live import LiveHtml
from .task_steps import LONGEST_SEARCH, StepFilter, state_switches

__all__ = ["StepSearch"]


class StepSearch:
    """`wanted` is what its controls say."""

    def __init__(self, wanted: StepFilter, changed: Callable[[], None]) -> None:
        self.wanted = wanted
        self._changed = changed
        with Element("div").classes("stack").style("margin-bottom: 12px") as self._box:
            field = text_field("Find by name or handler", wanted.text)
            field.props(f"debounce=250 clearable maxlength={LONGEST_SEARCH}").mark("step-find")
            field.on_value_change(lambda event: self._typed(str(event.value or "")))
            self._switches = LiveHtml()
            self._switches.on_act(self._pressed)
        self._box.set_visibility(False)

    def show(self, steps: Iterable[StepReport], *, is_wanted: bool) -> None:
        """Draw the switches for these steps, where the table is what is looked at."""
        self._box.set_visibility(is_wanted)
        if is_wanted:
            self._switches.show(state_switches(steps, self.wanted))

    def _typed(self, text: str) -> None:
        self.wanted = msgspec.structs.replace(self.wanted, text=text[:LONGEST_SEARCH])
        self._changed()

    def _pressed(self, _: str, state: str) -> None:
        if state in set(StepStatus):
            self.wanted = self.wanted.toggled(StepStatus(state))
            self._changed()
