"""A task's steps as a table, and one step in full: attempts, inputs, result, error, and why it is not ready. Pure."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from typing import Any, Final

import msgspec

from tasker_kafka.deploy.console.backend.shapes import TaskDetails
from tasker_kafka.deploy.reading import AttemptReport, ErrorReport, StepReport
from tasker_kafka.schemas.plan import PlanStep
from tasker_kafka.schemas.words import StepStatus
from tasker_kafka.streams.domain.readiness import StepReadiness

from .markup import (
    EMPTY,
    Markup,
    chip,
    cut,
    facts,
    join,
    json_block,
    switches,
    table,
    tag,
    took_text,
    when,
    words,
)

__all__ = [
    "LONGEST_SEARCH",
    "STEP_COLUMNS",
    "StepFilter",
    "state_switches",
    "step_panel",
    "step_rows",
    "step_table",
]

STEP_COLUMNS: Final = ("Step", "State", "Attempts", "Handler", "Started", "Took", "Worker", "Result or error")
SHOWN: Final = 90
"""Characters of a result or an error in the table."""
LONGEST_SEARCH: Final = 200


class StepFilter(msgspec.Struct, frozen=True, kw_only=True):
    """As it was typed and pressed; without either every step fits."""

    text: str = ""
    states: tuple[StepStatus, ...] = ()

    @classmethod
    def from_address(cls, text: str, states: str) -> StepFilter:
        """The filter of an address; a state that is none is passed over."""
        wanted = {*states.split(",")}
        return cls(text=text[:LONGEST_SEARCH], states=tuple(each for each in StepStatus if each in wanted))

    def address(self) -> dict[str, str]:
        """The same as parts of an address; what filters nothing is empty."""
        return {"find": self.text, "state": ",".join(self.states)}

    def fits(self, step: StepReport) -> bool:
        """Whether the step is in one of the states, and every word in its name or handler, in any case."""
        said = f"{step.name} {step.handler}".casefold()
        is_wanted = not self.states or step.state in self.states
        return is_wanted and all(each in said for each in self.text.casefold().split())

    def toggled(self, state: StepStatus) -> StepFilter:
        """With this state if it was without, and the other way round."""
        every = {*self.states} ^ {state}
        return msgspec.structs.replace(self, states=tuple(each for each in StepStatus if each in every))


def state_switches(steps: Iterable[StepReport], wanted: StepFilter) -> Markup:
    """How many steps are in each state that any is in, or that is asked for; each is a switch of the filter."""
    found = Counter(each.state for each in steps)
    shown = [state for state in StepStatus if found[state] or state in wanted.states]
    label = "By state; press to filter"
    return switches(found, shown, wanted.states, act="step-state", ids="step-state", label=label)


def step_rows(
    details: TaskDetails, chosen: str | None, wanted: StepFilter | None = None
) -> dict[str, Markup]:
    """A row per step that fits, by its element's id, in the plan's order."""
    return {
        f"step-row-{position}": _row(position, step, is_chosen=step.name == chosen)
        for position, step in enumerate(details.report.steps)
        if wanted is None or wanted.fits(step)
    }


def step_table(rows: dict[str, Markup], *, is_empty: bool = True) -> Markup:
    """All of them. `is_empty`: without a row it is the task that has none, not the filter that fits none."""
    empty = "This task has no steps." if is_empty else "No step fits the filter."
    return tag("div", table("Steps", STEP_COLUMNS, rows.values(), empty=empty), class_="step-table")


def step_panel(details: TaskDetails, name: str) -> Markup:
    """Everything about one step; a sentence for one that the task does not have."""
    step = details.step(name)
    if step is None:
        return tag("p", f"The task has no step {cut(name, 80)}.", class_="alert tone-failed")
    position = details.plan.index[name]
    planned, ready = details.plan.steps[position], details.readiness[position]
    return join(
        (
            _facts(details, step, planned),
            _error(step.error),
            _value("Result", step.result) if step.result is not None else None,
            tag("h3", "Attempts"),
            _attempts(step),
            tag("details", tag("summary", "Readiness"), _readiness(ready)),
            tag("details", tag("summary", "Inputs and configuration"), _inputs(details, step, planned)),
        )
    )


def _row(position: int, step: StepReport, *, is_chosen: bool) -> Markup:
    last = step.history[-1] if step.history else None
    end = None if last is None else last.finished_at
    said = _said(step)
    return tag(
        "tr",
        tag(
            "td",
            tag(
                "a",
                step.name,
                href=f"?step={step.name}",
                data_act="step",
                data_value=step.name,
                id=f"step-link-{position}",
            ),
            class_="card-head name-cell",
        ),
        tag("td", chip(step.state), class_="card-head"),
        tag("td", f"{step.attempts}/{step.max_attempts}", class_="nowrap"),
        tag("td", tag("code", step.handler), class_="break-cell"),
        tag("td", when(step.started_at), class_="nowrap"),
        tag("td", took_text(step.started_at, end), class_="nowrap"),
        tag("td", step.worker_id or "–", class_="break-cell"),
        tag("td", cut(said, SHOWN), class_="wide", title=said if len(said) > SHOWN else None),
        id=f"step-row-{position}",
        class_="is-chosen" if is_chosen else None,
    )


def _said(step: StepReport) -> str:
    if step.error is not None:
        return f"{step.error.code}: {step.error.message}"
    return "" if step.result is None else cut(json.dumps(step.result, ensure_ascii=False, default=str), 400)


def _facts(details: TaskDetails, step: StepReport, planned: PlanStep) -> Markup:
    relations = details.dag[details.plan.index[step.name]]
    pairs: list[tuple[str, object]] = [
        ("State", chip(step.state)),
        ("Attempts", f"{step.attempts} of {step.max_attempts}"),
        ("Handler", tag("code", step.handler)),
        ("Queue", tag("code", step.queue)),
        ("Worker", step.worker_id),
        ("Started", when(step.started_at)),
        ("Completed", when(step.completed_at)),
        ("Next retry", when(step.next_retry_at)),
        ("After", _links(relations.parent_names)),
        ("Before", _links(relations.child_names)),
        ("Timeout", f"{planned.timeout_ms / 1000:g} s"),
        ("Level", f"{relations.dependency_level} (shortest {relations.min_depth_from_root})"),
    ]
    return facts(pairs, "facts narrow")


def _links(names: tuple[str, ...]) -> Markup | None:
    if not names:
        return None
    shown = [tag("a", each, href=f"?step={each}", data_act="step", data_value=each) for each in names[:20]]
    more = f" and {len(names) - 20} more" if len(names) > 20 else ""
    return join((Markup(", ").join(shown), more))


def _error(error: ErrorReport | None) -> Markup | None:
    if error is None:
        return None
    kind = f" ({error.type})" if error.type else ""
    lasting = {True: "It may be retried.", False: "It is final.", None: ""}[error.retryable]
    said = tag("p", tag("b", error.code), f"{kind}: {error.message} ", lasting, class_="alert tone-failed")
    if not error.traceback:
        return said
    trace = tag("pre", error.traceback, class_="json", tabindex=0, role="region", aria_label="Traceback")
    return join((said, tag("details", tag("summary", "Traceback"), trace)))


def _value(name: str, value: Any) -> Markup:
    return join((tag("h3", name), json_block(value, name)))


def _attempts(step: StepReport) -> Markup:
    return table(
        f"Attempts of {step.name}",
        ("#", "Outcome", "Waited", "Ran", "Worker", "Granted", "Error"),
        (_attempt(each) for each in reversed(step.history)),
        empty="No attempt has been granted yet.",
    )


def _attempt(each: AttemptReport) -> Markup:
    marks = [text for is_so, text in ((not each.counted, "not counted"), (each.late, "late")) if is_so]
    error = "" if each.error is None else f"{each.error.code}: {each.error.message}"
    trace = None
    if each.error is not None and each.error.traceback:
        trace = tag("details", tag("summary", "Traceback"), tag("pre", each.error.traceback, class_="json"))
    return tag(
        "tr",
        tag("td", each.attempt),
        tag("td", words(each.outcome or "running"), *(tag("span", f" {m}", class_="tag") for m in marks)),
        tag("td", took_text(each.granted_at, each.started_at), class_="nowrap"),
        tag("td", took_text(each.started_at, each.finished_at), class_="nowrap"),
        tag("td", each.worker_id or "–"),
        tag("td", when(each.granted_at), class_="nowrap"),
        tag("td", error, trace, _metadata(each.metadata), class_="wide"),
    )


def _metadata(metadata: Any) -> Markup | None:
    if metadata is None or metadata == {}:
        return None
    return tag("details", tag("summary", "Metadata"), json_block(metadata, "Metadata"))


def _readiness(row: StepReadiness) -> Markup:
    """Every field of the view, by its name: what the API gives, to compare with."""
    shown: list[tuple[str, object]] = []
    for name in row.__struct_fields__:
        value = getattr(row, name)
        is_time = name.endswith("_at") and isinstance(value, int)
        shown.append((words(name), when(value) if is_time else _plain(value)))
    return facts(shown, "facts narrow")


def _plain(value: object) -> object:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return None if value is None else words(str(value))


def _inputs(details: TaskDetails, step: StepReport, planned: PlanStep) -> Markup:
    results: dict[str, Any] = {}
    for name in step.parents:
        parent = details.step(name)
        results[name] = None if parent is None else parent.result
    retry = {name: getattr(planned.retry, name) for name in planned.retry.__struct_fields__}
    return join(
        (
            _value("Results of its parents", results) if results else EMPTY,
            _value("Configuration", planned.config) if planned.config else EMPTY,
            _value("Retry policy", retry),
            tag("p", "The task's context, which every step gets too, is under “Data”.", class_="note"),
        )
    )
