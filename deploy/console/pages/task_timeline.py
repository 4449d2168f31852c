"""When each attempt waited and ran: bars over time for eyes, and a table of the same for everybody. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from tasker_kafka.deploy.console.backend.shapes import TaskDetails
from tasker_kafka.deploy.reading import AttemptReport, StepReport
from tasker_kafka.schemas.words import Outcome, StepStatus

from .markup import EMPTY, Markup, cut, table, tag, took_text, when, words
from .theme import state_class

__all__ = ["Bar", "bars_of", "timeline"]

LANE: Final = 22
NAMES: Final = 190
WIDTH: Final = 1000
"""Of the part with the bars, in the drawing's own units: it fits whatever room there is."""
TICKS: Final = 5
_TONE: Final = {
    Outcome.SUCCESS: StepStatus.COMPLETE,
    Outcome.FAILURE: StepStatus.ERROR,
    Outcome.WORKER_LOST: StepStatus.ERROR,
    Outcome.RETURNED: StepStatus.WAITING_FOR_RETRY,
    Outcome.GIVEN_BACK: StepStatus.WAITING_FOR_RETRY,
    "cancelled": StepStatus.CANCELLED,
}


class Bar(NamedTuple):
    """One attempt: granted, started and ended, in ms from the task's creation; `ended` None: it runs."""

    step: str
    attempt: int
    granted: int
    started: int | None
    ended: int | None
    outcome: str | None


def bars_of(details: TaskDetails) -> list[Bar]:
    """Every attempt, by its grant; steps in the order in which they first ran."""
    origin = details.report.created_at
    found = [_bar(step, each, origin) for step in details.report.steps for each in step.history]
    first: dict[str, int] = {}
    for bar in sorted(found, key=lambda each: each.granted):
        first.setdefault(bar.step, len(first))
    return sorted(found, key=lambda each: (first[each.step], each.attempt))


def timeline(details: TaskDetails, now: int) -> Markup:
    """The bars, and the table."""
    bars = bars_of(details)
    if not bars:
        return tag("p", "No attempt has been granted yet.", class_="panel")
    end = details.report.closed_at if details.report.closed_at is not None else now
    length = max([end - details.report.created_at, *(each.ended or 0 for each in bars), 1])
    return tag("div", _drawing(bars, length), _table(details), class_="stack")


def _bar(step: StepReport, each: AttemptReport, origin: int) -> Bar:
    def since(at: int | None) -> int | None:
        return None if at is None else max(0, at - origin)

    ended = since(each.finished_at)
    return Bar(
        step.name, each.attempt, since(each.granted_at) or 0, since(each.started_at), ended, each.outcome
    )


def _drawing(bars: Sequence[Bar], length: int) -> Markup:
    lanes = {name: at for at, name in enumerate(dict.fromkeys(each.step for each in bars))}
    height = 24 + LANE * len(lanes)
    return tag(
        "div",
        tag(
            "svg",
            *_axis(length, height),
            *(
                tag("text", cut(name, 26), tag("title", name), x=8, y=24 + LANE * at + 15)
                for name, at in lanes.items()
            ),
            *(_drawn(each, lanes[each.step], length) for each in bars),
            class_="lanes",
            viewBox=f"0 0 {NAMES + WIDTH + 20} {height + 6}",
            style="width:100%;min-width:640px;display:block",
            role="img",
            aria_label="Attempts over time; the table below says the same.",
        ),
        class_="graph graph-frame",
        tabindex=0,
        role="region",
        aria_label="Timeline",
        id="timeline-frame",
        data_scroll=True,
    )


def _axis(length: int, height: int) -> Iterable[Markup]:
    for at in range(TICKS + 1):
        x = NAMES + WIDTH * at / TICKS
        yield tag("path", d=f"M{x:g} 18V{height}", class_="axis")
        said = took_text(0, round(length * at / TICKS)) if at else "0"
        yield tag(
            "text", said, x=f"{x:g}", y=12, class_="tick", text_anchor="end" if at == TICKS else "middle"
        )


def _drawn(bar: Bar, lane: int, length: int) -> Markup:
    def place(at: int) -> float:
        return NAMES + WIDTH * at / length

    y = 24 + LANE * lane
    end = length if bar.ended is None else bar.ended
    started = end if bar.started is None else min(bar.started, end)
    state = StepStatus.IN_PROGRESS if bar.outcome is None else _TONE.get(bar.outcome, StepStatus.PENDING)
    waited = tag(
        "rect", x=f"{place(bar.granted):.1f}", y=y + 9, width=f"{place(started) - place(bar.granted):.1f}",
        height=4, class_="wait",
    )  # fmt: skip
    ran = tag(
        "rect", x=f"{place(started):.1f}", y=y + 4, width=f"{max(2.0, place(end) - place(started)):.1f}",
        height=LANE - 8, rx=2, class_="run is-open" if bar.ended is None else "run",
    )  # fmt: skip
    said = (
        f"{bar.step}, attempt {bar.attempt}: {words(bar.outcome or 'running')}, waited "
        f"{took_text(bar.granted, bar.started)}, ran {took_text(bar.started, bar.ended)}"
    )
    return tag(
        "g", tag("title", said), waited, ran if bar.started is not None else EMPTY, class_=state_class(state)
    )


def _table(details: TaskDetails) -> Markup:
    rows = [(step, each) for step in details.report.steps for each in step.history]
    rows.sort(key=lambda pair: (pair[1].granted_at, pair[0].name, pair[1].attempt))
    shown = table(
        "Attempts in the order of their grants",
        ("Step", "Attempt", "Outcome", "Granted", "Waited", "Ran", "Worker", "Error"),
        (_row(step, each) for step, each in rows),
        empty="No attempt has been granted yet.",
    )
    return tag(
        "details", tag("summary", f"The same as a table: {len(rows)} attempts"), shown, open=len(rows) <= 60
    )


def _row(step: StepReport, each: AttemptReport) -> Markup:
    error = "" if each.error is None else f"{each.error.code}: {cut(each.error.message, 120)}"
    return tag(
        "tr",
        tag("td", tag("a", step.name, href=f"?step={step.name}", data_act="step", data_value=step.name)),
        tag("td", each.attempt),
        tag("td", words(each.outcome or "running")),
        tag("td", when(each.granted_at), class_="nowrap"),
        tag("td", took_text(each.granted_at, each.started_at), class_="nowrap"),
        tag("td", took_text(each.started_at, each.finished_at), class_="nowrap"),
        tag("td", each.worker_id or "–"),
        tag("td", error, class_="wide"),
    )
