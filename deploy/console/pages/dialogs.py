"""The one way in which pages change something: a dialog that says what will happen, asks why, and shows the answer.

The command's id is made when the dialog opens. However often its button is pressed, and also when an answer did not
come and somebody sends again, it is the same command, which acts once.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final, NamedTuple

from nicegui import ui
from nicegui.element import Element

from tasker_kafka.schemas.errors import TaskerError
from tasker_kafka.schemas.identity import new_request_id
from tasker_kafka.schemas.settings.console import Role

from . import context
from .live import LiveHtml, forget
from .markup import EMPTY, Markup, tag

__all__ = ["Counted", "Order", "Said", "ask", "json_field", "parse_json", "text_field"]

REASON_LENGTH: Final = 2000
SHOW_SECONDS: Final = 0.2
"""Between two messages about how far something is."""
_FOCUS_BACK: Final = (
    "setTimeout(() => { if (document.activeElement === document.body)"
    " (document.getElementById(window.lastActed) ?? document.getElementById('main'))"
    "?.focus({preventScroll: true}) }, 100)"
)
"""What was pressed may have been drawn anew, or be gone: then the keyboard goes on at its successor, or at the
page's main part."""


class Order(NamedTuple):
    """What somebody confirmed."""

    command_id: bytes
    reason: str
    tell: Callable[[int], None] = lambda _: None
    """Say how many are done, as they are done; the dialog shows it of the number in all."""

    def one_more(self) -> Callable[[object], None]:
        """To be called with each that is done, whatever it is."""
        numbers = itertools.count(1)
        return lambda _: self.tell(next(numbers))


class Said(NamedTuple):
    """The answer to show. `is_refused`: nothing was done; the dialog stays open for another try."""

    text: str
    is_refused: bool = False


def ask(
    title: str,
    explanation: Markup,
    verb: str,
    send: Callable[[Order], Awaitable[Said]],
    *,
    fields: Callable[[], None] | None = None,
    is_danger: bool = False,
    needs_reason: bool = True,
    is_wide: bool = False,
    role: Role = Role.OPERATE,
    many: int = 1,
) -> None:
    """Open the dialog. `send` is awaited once per confirmation; a TaskerError that it raises is shown as refusal.

    Only who has the `role` can confirm, whatever a browser makes of a page: its buttons are but drawn there.
    `fields` makes further inputs inside the dialog; `send` reads them. Call it in an event handler of the page.
    `many`: how many things it is done to; with more than one the dialog counts them, and can be told to stop, which
    cancels `send`. What was done by then stays done, and sending again goes on: it is the same command.
    """
    _Dialog(title, explanation, verb, send, needs_reason=needs_reason, role=role, many=many).open(
        fields, is_danger=is_danger, is_wide=is_wide
    )


def text_field(
    label: str, value: str = "", *, hint: str = "", is_long: bool = False
) -> ui.input | ui.textarea:
    """An input with a label, as all dialogs and filters use it."""
    field = ui.textarea(label, value=value) if is_long else ui.input(label, value=value)
    field.props("outlined dense stack-label").classes("field-q")
    if hint:
        field.props["hint"] = hint
    return field


def json_field(label: str, value: Any, *, hint: str = "") -> ui.textarea:
    """An input for a JSON value that says where it is none."""

    def fault(text: str | None) -> str | None:
        try:
            parse_json(text or "")
        except ValueError as error:
            return str(error)
        return None

    shown = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, indent=2)
    field = ui.textarea(label, value=shown, validation=fault)
    field.props("outlined dense stack-label input-class=json-input rows=8").classes("field-q")
    field.props["spellcheck"] = "false"
    if hint:
        field.props["hint"] = hint
    return field


def parse_json(text: str) -> Any:
    """The JSON value of a text. ValueError says the line and column of the fault."""
    try:
        return json.loads(text, parse_constant=_refuse_constant)
    except json.JSONDecodeError as error:
        raise ValueError(f"no JSON: {error.msg} (line {error.lineno}, column {error.colno})") from None
    except RecursionError:
        raise ValueError("no JSON that can be sent: nested too deeply") from None


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"no JSON: {name} is no JSON number")


class Counted:
    """How many of many are done, and when that is worth a message to the browser."""

    def __init__(self, many: int) -> None:
        self.many = many
        self.restart()

    def restart(self) -> None:
        """None is done yet."""
        self._done = 0
        self._shown_at = 0.0

    def is_worth_showing(self, done: int) -> bool:
        """Take the new number; whether enough time has passed since the last that was shown."""
        self._done = max(self._done, done)
        now = time.monotonic()
        if now - self._shown_at < SHOW_SECONDS and self._done < self.many:
            return False
        self._shown_at = now
        return True

    def said(self) -> str:
        """`12 of 1,000`."""
        return f"{self._done:,} of {self.many:,}"

    def drawn(self) -> Markup:
        """The same with a bar."""
        share = 100 * min(1.0, self._done / self.many)
        bar = tag("div", tag("i", style=f"width:{share:.1f}%"), class_="bar tone-running", aria_hidden="true")
        return tag("div", tag("p", f"{self.said()} done"), bar, class_="stack tight")


class _Dialog:
    """One command that is about to be given."""

    def __init__(
        self,
        title: str,
        explanation: Markup,
        verb: str,
        send: Callable[[Order], Awaitable[Said]],
        *,
        needs_reason: bool,
        role: Role,
        many: int = 1,
    ) -> None:
        self._progress = Counted(many)
        self._sending: asyncio.Task[Said] | None = None
        self._client = ui.context.client
        self._role = role
        self._title = title
        self._explanation = explanation
        self._verb = verb
        self._send = send
        self._needs_reason = needs_reason
        self._command_id = new_request_id(time.time_ns() // 1_000_000)
        self._is_sending = False
        self._is_done = False

    def open(self, fields: Callable[[], None] | None, *, is_danger: bool, is_wide: bool) -> None:
        with ui.dialog() as dialog:
            self._dialog = dialog
            dialog.props["aria-label"] = self._title
            forget(dialog.on("hide", self._closed))
            with Element("div").classes("dialog is-wide" if is_wide else "dialog"):
                LiveHtml(tag("h2", self._title)).classes("dialog-head")
                with Element("div").classes("dialog-body"):
                    LiveHtml(self._explanation)
                    if fields is not None:
                        fields()
                    if self._needs_reason:
                        self._reason_field()
                    self._counted = LiveHtml().props("role=status")
                    self._answer = LiveHtml().props("role=alert")
                with Element("div").classes("dialog-foot"):
                    self._buttons(is_danger=is_danger)
        forget(dialog.open())

    def _reason_field(self) -> None:
        self._reason = text_field("Reason", hint="Kept in the task's history, with your name.")
        self._reason.props(f"autofocus maxlength={REASON_LENGTH}").mark("reason")
        self._reason.on("keydown.enter", self._confirm)

    def _buttons(self, *, is_danger: bool) -> None:
        kind = "btn-danger" if is_danger else "btn-primary"
        self._back = ui.button("Back", on_click=self._dialog.close, color=None)
        self._back.props("no-caps unelevated").classes("btn")
        self._stop = ui.button("Stop", on_click=self._stopped, color=None)
        self._stop.props("no-caps unelevated").classes("btn").set_visibility(False)
        self._button = ui.button(self._verb, on_click=self._confirm, color=None)
        self._button.props("no-caps unelevated").classes(f"btn {kind}")

    async def _confirm(self) -> None:
        # A second press arrives before the first one's answer: the button was still enabled where it was pressed.
        if self._is_sending or self._is_done:
            return
        reason = str(self._reason.value or "").strip() if self._needs_reason else ""
        if self._needs_reason and not reason:
            self._show(Said("Say why: the reason is kept with the command.", is_refused=True))
            forget(self._reason.run_method("focus"))
            return
        self._begin()
        try:
            context.principal().require(self._role)
            self._sending = asyncio.ensure_future(self._act(Order(self._command_id, reason, self._tell)))
            await asyncio.wait({self._sending})
            said = self._stopped_text() if self._sending.cancelled() else self._sending.result()
        except TaskerError as error:
            said = Said(" ".join(part for part in (error.message, error.next_step) if part), is_refused=True)
        finally:
            self._end()
        self._is_done = not said.is_refused
        self._show(said)

    async def _act(self, order: Order) -> Said:
        """A task of its own, so that it can be stopped; it acts for the visitor of the page, as the button does."""
        with self._client:
            return await self._send(order)

    def _begin(self) -> None:
        self._is_sending = True
        self._progress.restart()
        self._button.props("loading")
        self._answer.show(EMPTY)
        if self._progress.many > 1:
            forget(self._dialog.props("persistent"))  # to leave it would not stop what is under way
            self._stop.set_visibility(True)
            self._back.set_visibility(False)
            self._counted.show(self._progress.drawn())

    def _end(self) -> None:
        self._is_sending = False
        self._button.props(remove="loading")
        if self._progress.many > 1:
            forget(self._dialog.props(remove="persistent"))
            self._stop.set_visibility(False)
            self._back.set_visibility(True)
            self._counted.show(EMPTY)

    def _tell(self, done: int) -> None:
        if self._progress.is_worth_showing(done):
            self._counted.show(self._progress.drawn())

    def _stopped(self) -> None:
        if self._sending is not None:
            self._sending.cancel()

    def _stopped_text(self) -> Said:
        return Said(
            f"Stopped: {self._progress.said()} were done, and stay done; what was under way may be, too. Confirm again "
            "to go on with the rest.",
            is_refused=True,
        )

    def _show(self, said: Said) -> None:
        tone = "tone-failed" if said.is_refused else "tone-done"
        self._answer.show(tag("div", said.text, class_=f"alert {tone}"))
        if self._is_done:
            self._button.set_visibility(False)
            self._back.set_text("Close")
            forget(ui.run_javascript(f"getHtmlElement({self._back.id}).focus()"))

    def _closed(self) -> None:
        self._answer.show(EMPTY)
        forget(ui.run_javascript(_FOCUS_BACK))
        self._dialog.delete()
