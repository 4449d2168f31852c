"""What an operator can ask of a task or a step here: buttons, why one is closed, and the dialogs behind them.

Which commands a state allows is a rule of the domain (`streams.domain.allowing`), read off the table of edges; this
module says it in words and sends what was confirmed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, NamedTuple

from nicegui import ui

from tasker_kafka.deploy.console.backend import TaskDetails
from tasker_kafka.deploy.reading import StepReport
from tasker_kafka.schemas.identity import format_id
from tasker_kafka.schemas.words import FINAL_TASK_STATES, OperatorAction
from tasker_kafka.streams.domain.allowing import step_actions

from . import context
from .dialogs import Order, Said, ask, json_field, parse_json, text_field
from .markup import Markup, join, tag, words

__all__ = ["COMMANDS", "Command", "closed_why", "open_command", "step_buttons", "task_buttons"]

WAIT_SECONDS: Final = 10.0
NO_EFFECTS: Final = "Steps that are done stay done."

_A = OperatorAction


class Command(NamedTuple):
    """One command as people meet it."""

    label: str
    title: str
    effect: str
    """What will happen, before it is confirmed."""
    needs: str
    """When it can be given, for the closed button."""
    is_danger: bool = False


COMMANDS: Final[Mapping[OperatorAction, Command]] = {
    _A.RETRY_TASK: Command(
        "Retry",
        "Retry the task",
        "Every failed or cancelled step is tried again, with a new budget of attempts; the task goes on from there. "
        + NO_EFFECTS,
        "it needs a step that has failed or was cancelled",
    ),
    _A.RESOLVE_TASK: Command(
        "Resolve",
        "Resolve the task by hand",
        "The task is declared dealt with. It becomes resolved manually, and that is final.",
        "it needs a task that is blocked by failures or in error",
    ),
    _A.CANCEL_TASK: Command(
        "Cancel task",
        "Cancel the task",
        "The task and every unfinished step are cancelled, and that is final. Running handlers are told; results that "
        "still arrive are counted only.",
        "it needs a task that is not final",
        is_danger=True,
    ),
    _A.SET_REASON: Command(
        "Set reason", "Change the task's reason", "The new text replaces the task's reason.", "it needs an open task"
    ),
    _A.SET_TAGS: Command(
        "Set tags", "Change the task's tags", "These replace all tags of the task.", "it needs an open task"
    ),
    _A.RETRY_STEP: Command(
        "Retry step",
        "Retry the step",
        "The step is tried again with a new budget of attempts; the task resumes by itself. " + NO_EFFECTS,
        "it needs a step that has failed or was cancelled",
    ),
    _A.COMPLETE_STEP: Command(
        "Complete…",
        "Complete the step with a result of yours",
        "The step becomes complete with this result. Its children read it as if the handler had given it, and the "
        "task resumes by itself.",
        "it needs a step that is neither running nor done; cancel a running one first",
    ),
    _A.RESOLVE_STEP: Command(
        "Resolve step",
        "Resolve the step by hand",
        "The step counts as done, without a result; its children read None. The task resumes by itself. This is also "
        "how to skip a step.",
        "it needs a step that is neither running nor done; cancel a running one first",
    ),
    _A.SET_MAX_ATTEMPTS: Command(
        "Set attempts",
        "Change the step's number of attempts",
        "So many attempts the step may have in its present budget.",
        "it needs an open task, and a step that is not done",
    ),
    _A.CANCEL_STEP: Command(
        "Cancel step",
        "Cancel the step",
        "The step is cancelled; a running handler is told. Its children cannot run until somebody retries, resolves "
        "or completes it.",
        "it needs an open task, and a step that is not done",
        is_danger=True,
    ),
}  # fmt: skip

_OF_TASK: Final = (_A.RETRY_TASK, _A.RESOLVE_TASK, _A.SET_REASON, _A.SET_TAGS, _A.CANCEL_TASK)
_OF_STEP: Final = (_A.RETRY_STEP, _A.COMPLETE_STEP, _A.RESOLVE_STEP, _A.SET_MAX_ATTEMPTS, _A.CANCEL_STEP)


def task_buttons(details: TaskDetails, closed: str | None) -> Markup:
    """The commands about the whole task. `closed`: why nobody can give any now."""
    return _buttons(_OF_TASK, details.allowed, lambda action: closed_why(action, details, None, closed))


def step_buttons(details: TaskDetails, step: StepReport, closed: str | None) -> Markup:
    """The commands about one step."""
    allowed = step_actions(details.report.state, step.state) if details.is_newest else ()
    return _buttons(_OF_STEP, allowed, lambda action: closed_why(action, details, step, closed))


def closed_why(
    action: OperatorAction, details: TaskDetails, step: StepReport | None, closed: str | None
) -> str | None:
    """Why the command cannot be given; None: it can."""
    if closed is not None:
        return closed
    report = details.report
    allowed = details.allowed if step is None else step_actions(report.state, step.state)
    if action in allowed:
        return None
    if report.state in FINAL_TASK_STATES:
        return f"The task is {words(report.state)}, which is final: nothing may be done to it any more."
    now = f"The task is {words(report.state)}"
    if step is not None:
        now += f" and the step {words(step.state)}"
    return f"{now}; {COMMANDS[action].needs}."


def open_command(action: OperatorAction, details: TaskDetails, step: StepReport | None) -> None:
    """Open the dialog of a command. Call it in an event handler of the page."""
    command = COMMANDS[action]
    form = _Form(action, details, step)
    subject = details.report.template if step is None else step.name
    ask(
        f"{command.title}: {subject}",
        tag("p", command.effect),
        command.title.partition(" with ")[0],
        form.send,
        fields=form.fields if action in _Form.WITH_FIELDS else None,
        is_danger=command.is_danger,
        is_wide=action is _A.COMPLETE_STEP,
    )


class _Form:
    """The inputs that a command takes beside its reason, and its sending."""

    WITH_FIELDS: Final = frozenset({_A.COMPLETE_STEP, _A.SET_MAX_ATTEMPTS, _A.SET_REASON, _A.SET_TAGS})

    def __init__(self, action: OperatorAction, details: TaskDetails, step: StepReport | None) -> None:
        self._action = action
        self._details = details
        self._step = step
        self._actor = context.actor()
        self._field: ui.input | ui.textarea | ui.number | None = None

    def fields(self) -> None:
        report, step = self._details.report, self._step
        if self._action is _A.COMPLETE_STEP and step is not None:
            schema = self._details.plan.steps[self._details.plan.index[step.name]].result_schema
            hint = (
                "JSON. The step declares a schema of its result; keep to it."
                if schema
                else "JSON, as its children read it."
            )
            self._field = json_field("Result", {}, hint=hint)
        elif self._action is _A.SET_MAX_ATTEMPTS and step is not None:
            self._field = ui.number("Attempts", value=step.max_attempts, min=1, max=100, step=1, format="%d")
            self._field.props("outlined dense stack-label").classes("field-q")
        elif self._action is _A.SET_TAGS:
            self._field = text_field(
                "Tags", ", ".join(report.tags), hint="Separated by commas; none removes them all."
            )
        else:
            self._field = text_field("The task's reason", report.reason)

    async def send(self, order: Order) -> Said:
        """Send what was confirmed and wait for its answer."""
        try:
            details = self._given()
        except ValueError as error:
            return Said(str(error), is_refused=True)
        outcome = await context.backend().operate(
            self._details.report.task_id,
            self._action,
            wait=WAIT_SECONDS,
            actor=self._actor,
            reason=order.reason,
            steps=() if self._step is None else (self._step.name,),
            command_id=order.command_id,
            **details,
        )
        if outcome.code is None:
            place = f" at {outcome.written.partition}:{outcome.written.offset}" if outcome.written else ""
            return Said(
                f"Written{place}, but not answered within {WAIT_SECONDS:g} s: is an orchestrator running? It will be "
                "obeyed when one is. Sending again asks for the answer of this same command.",
                is_refused=True,
            )
        return Said(f"{words(outcome.code)}: {outcome.message} (command {format_id(order.command_id)})")

    def _given(self) -> dict[str, Any]:
        """What only this action carries. ValueError says what is wrong with it."""
        value = None if self._field is None else self._field.value
        if self._action is _A.COMPLETE_STEP:
            return {"result": parse_json(str(value or ""))}
        if self._action is _A.SET_MAX_ATTEMPTS:
            if not isinstance(value, int | float) or int(value) != value:
                raise ValueError("Attempts: a whole number from 1 to 100.")
            return {"max_attempts": int(value)}
        if self._action is _A.SET_TAGS:
            return {"tags": tuple(each.strip() for each in str(value or "").split(",") if each.strip())}
        return {"text": str(value or "")} if self._action is _A.SET_REASON else {}


def _buttons(
    actions: Iterable[OperatorAction], allowed: Iterable[str], why: Callable[[OperatorAction], str | None]
) -> Markup:
    """Open ones do; closed ones stay reachable and say why they are closed."""
    permitted = {*allowed}
    first = next((each for each in actions if each in permitted), None)
    return join(_button(each, why(each), is_first=each is first) for each in actions)


def _button(action: OperatorAction, closed: str | None, *, is_first: bool) -> Markup:
    command = COMMANDS[action]
    kind = "btn-danger" if command.is_danger else "btn-primary" if is_first and action in _LEADING else ""
    return tag(
        "button",
        command.label,
        type="button",
        id=f"command-{action}",
        class_="btn" if closed else f"btn {kind}".rstrip(),
        data_act="closed" if closed else "command",
        data_value=closed or str(action),
        aria_disabled="true" if closed else None,
        title=closed or command.effect,
    )


_LEADING: Final = frozenset({_A.RETRY_TASK, _A.RETRY_STEP})
