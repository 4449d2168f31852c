"""The dialog that submits a task: a published template, a context as JSON, and what is wrong with it by path."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Final

from nicegui import ui

from tasker_kafka.deploy.console.backend import RequestRefused, Submitted, TemplateRow
from tasker_kafka.schemas.errors import TaskerError
from tasker_kafka.schemas.identity import format_id
from tasker_kafka.schemas.records import TaskRequest

from . import context
from .dialogs import Order, Said, ask, json_field, parse_json, text_field
from .markup import Markup, join, tag

__all__ = ["offer_submit", "refusal_markup"]

SOURCE: Final = "console"


async def offer_submit(template: str | None = None) -> None:
    """Open the dialog. `template`: `namespace/name@version` that is chosen at first."""
    try:
        rows = await context.backend().templates()
    except TaskerError as error:
        ui.notify(error.message, position="top", type="negative")
        return
    if not rows:
        ui.notify("No template is published: `tasker template publish`.", position="top", type="info")
        return
    form = _Form(rows, template)
    ask(
        "Submit a task",
        tag("p", "The request is written to Kafka; the task's page follows it from there."),
        "Submit",
        form.send,
        fields=form.fields,
        is_wide=True,
    )


def refusal_markup(error: RequestRefused) -> Markup:
    """Why a request is not taken: every fault with its path."""
    faults = [tag("li", tag("code", path or "request"), ": ", text) for path, text in error.errors]
    known = None
    if error.task_id is not None:
        known = tag("a", "Open that task", href=f"/console/tasks/{format_id(error.task_id)}")
    said = None if faults else tag("p", error.message)
    return join((tag("b", error.code), said, tag("ul", *faults, class_="waits") if faults else None, known))


class _Form:
    """The inputs of a request."""

    def __init__(self, rows: Sequence[TemplateRow], chosen: str | None) -> None:
        self._rows = {f"{each.namespace}/{each.name}@{each.version}": each for each in rows}
        latest = [name for name, each in self._rows.items() if each.is_latest]
        self._chosen = chosen if chosen in self._rows else latest[0]
        self._actor = context.actor()

    def fields(self) -> None:
        self._template = ui.select([*self._rows], value=self._chosen, label="Template", with_input=True)
        self._template.props("outlined dense stack-label options-dense").classes("field-q")
        self._context = json_field("Context", {}, hint="A JSON object.")
        self._tags = text_field("Tags", hint="Separated by commas.")
        self._key = text_field("Idempotency key", hint="The same key is the same task. Empty: a new one.")

    async def send(self, order: Order) -> Said:
        """Send the request under the dialog's id: however often it is sent, it is one task."""
        try:
            request = self._request(order)
        except ValueError as error:
            return Said(str(error), is_refused=True)
        try:
            submitted = await context.backend().submit(request)
        except RequestRefused as error:
            return Said(refusal_markup(error), is_refused=True)
        return Said(_accepted(submitted))

    def _request(self, order: Order) -> TaskRequest:
        row = self._rows.get(str(self._template.value))
        if row is None:
            raise ValueError("Choose a template.")
        given: Any = parse_json(str(self._context.value or "{}"))
        if not isinstance(given, dict):
            raise ValueError('context: a JSON object, as {"cart": []}')
        return TaskRequest(
            name=row.name,
            namespace=row.namespace,
            version=None if row.is_latest else row.version,
            context=json.dumps(given, ensure_ascii=False, separators=(",", ":")).encode(),
            request_id=order.command_id,
            idempotency_key=str(self._key.value or "").strip() or None,
            initiator=self._actor,
            source_system=SOURCE,
            reason=order.reason,
            tags=tuple(each.strip() for each in str(self._tags.value or "").split(",") if each.strip()),
            requested_at=context.backend().now_ms(),
        )


def _accepted(submitted: Submitted) -> Markup:
    id_ = format_id(submitted.task_id)
    link = tag("a", tag("code", id_), href=f"/console/tasks/{id_}", id="submitted-task")
    return tag("span", "Written. Task ", link, ".")
