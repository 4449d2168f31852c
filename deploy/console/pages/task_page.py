"""The page of one task: drawn once, then kept as the task is, until somebody asks how it was."""

from __future__ import annotations

import time
from typing import Final
from urllib.parse import urlencode

from nicegui import ui
from nicegui.element import Element

from tasker_kafka.deploy.console.backend import TaskDetails
from tasker_kafka.schemas.errors import TaskerError
from tasker_kafka.schemas.identity import parse_id
from tasker_kafka.schemas.words import CLOSED_TASK_STATES, OperatorAction
from tasker_kafka.streams.projection import Changes, EventRow

from . import context, shell, task_graph, task_head, task_history, task_steps
from .group_lags import lag_section, lags_of
from .live import LiveHtml, Refresher, follow
from .markup import EMPTY, Markup, cut, join, tag
from .task_commands import open_command, step_buttons, task_buttons
from .task_past import PastSlider
from .task_search import StepSearch
from .task_steps import StepFilter
from .task_timeline import timeline

__all__ = ["VIEWS", "TaskPage", "show_task"]

VIEWS: Final = (
    ("graph", "Graph"),
    ("steps", "Steps"),
    ("timeline", "Timeline"),
    ("transitions", "Transitions"),
    ("events", "Events"),
    ("data", "Data"),
)
LOOK_AGAIN_SECONDS: Final = 5.0
"""How long something waits is told anew so often, though nothing moves."""
BUILD_SECONDS: Final = 30.0
HEAVY_STEPS: Final = 200
HEAVY_REST_SECONDS: Final = 3.0
"""Views that are drawn whole (timeline, transitions) rest so long between two drawings of so large a task that runs."""


@ui.page("/console/tasks/{task_id}", response_timeout=BUILD_SECONDS)
async def show_task(
    task_id: str, *, view: str = "graph", step: str = "", life: str = "", find: str = "", state: str = ""
) -> None:
    """All but the id is what was looked at: a link, or a page that was loaded again."""
    with shell.frame(f"Task {task_id[:13]}", active="/console"):
        try:
            id_ = parse_id(task_id)
        except TaskerError as error:
            LiveHtml(tag("p", str(error), class_="alert tone-failed"))
            return
        page = TaskPage(
            id_,
            view=view,
            step=step or None,
            life=int(life) if life.isdecimal() else None,
            wanted=StepFilter.from_address(find, state),
        )
        page.build()
        await page.refresh()
        page.start()


class TaskPage:
    """What one visitor looks at."""

    def __init__(
        self, task_id: bytes, *, view: str, step: str | None, life: int | None, wanted: StepFilter
    ) -> None:
        self._wanted = wanted
        self._task_id = task_id
        self._view = view if view in dict(VIEWS) else "graph"
        self._step = step
        self._life = life
        self._zoom = 1.0
        self._shown = task_history.PAGE_ROWS
        self._details: TaskDetails | None = None
        self._events: tuple[EventRow, ...] | None = None
        self._events_fault: str | None = None
        self._lag = EMPTY
        self._drawn: tuple[object, ...] = ()
        self._rests_until = 0.0
        self._refresher = Refresher(self.refresh)

    # ------------------------------------------------------------------------------------------- building

    def build(self) -> None:
        """Make the parts of the page, empty."""
        self._notice = LiveHtml().props("role=status")
        with Element("div").classes("page-head"):
            self._head = LiveHtml().classes("grow")
            self._buttons = LiveHtml().classes("line")
            if context.may_operate():
                self._buttons.props('role=group aria-label="Commands for the task"')
        with Element("div").classes("stack"):
            with Element("section").classes("panel stack").props('aria-label="Overview"'):
                self._progress = LiveHtml()
                self._overview = LiveHtml()
                self._past = PastSlider(self._look_at)
                self._freshness = LiveHtml()
            self._waits = LiveHtml()
            with Element("div"):
                self._views = LiveHtml()
                self._search = StepSearch(self._wanted, self._searched)
                self._grid = Element("div").classes("task-grid")
                with self._grid:
                    self._body = LiveHtml().props("id=view")
                    self._side = LiveHtml().classes("side")
        for each in (self._head, self._buttons, self._waits, self._views, self._body, self._side):
            each.on_act(self._act)

    def start(self) -> None:
        """Follow the task from now on."""
        self._refresher.start()
        follow(self._moved)
        ui.timer(LOOK_AGAIN_SECONDS, self._tick, immediate=False)

    # ------------------------------------------------------------------------------------------- keeping

    def _moved(self, changes: Changes) -> None:
        if changes.is_cut or any(each.task_id == self._task_id for each in changes.tasks):
            self._refresher.ask()

    def _tick(self) -> None:
        details = self._details
        is_at_rest = details is not None and details.report.state in CLOSED_TASK_STATES and not details.notes
        if not is_at_rest or self._view == "events":  # receipts come after the task has closed, too
            self._refresher.ask()

    async def refresh(self) -> None:
        """Read the task and send what changed. What cannot be read is said; the page goes on trying."""
        offset = self._past.offset
        try:
            if offset is None:
                details = await context.backend().task(self._task_id, life=self._life)
            else:
                details = await context.backend().as_of(self._task_id, offset=offset, life=self._life)
            await self._read_events()
        except TaskerError as error:
            self._notice.show(_fault(error, is_shown=self._details is not None))
            return
        if offset != self._past.offset:
            return  # the slider was moved meanwhile, and what it asked for is on its way
        self._details = details
        if offset is None:
            self._past.covers(details)
        self._notice.show(EMPTY)
        self._draw(details)

    async def _read_events(self) -> None:
        if self._view != "events":
            return
        try:
            self._events = await context.backend().events_of(self._task_id)
            self._lag = await lag_section(lags_of(context.backend()), self._events)
            self._events_fault = None
        except TaskerError as error:
            self._events_fault = str(error)

    async def _look_at(self) -> None:
        await self.refresh()

    # ------------------------------------------------------------------------------------------- drawing

    def _draw(self, details: TaskDetails) -> None:
        now = context.backend().now_ms() if self._past.offset is None else details.moment.recorded_at
        self._head.show(join((task_head.head(details), self._lives(details))))
        if context.may_operate():
            self._buttons.show(task_buttons(details, self._closed()))
        self._progress.show(task_head.progress(details))
        self._overview.show(task_head.overview(details, now))
        self._freshness.show(task_head.freshness(details))
        self._waits.show(task_head.waits(details) if self._past.offset is None else EMPTY)
        self._views.show(self._navigation(details))
        self._draw_view(details, now)
        self._draw_side(details)

    def _draw_view(self, details: TaskDetails, now: int) -> None:
        self._search.show(details.report.steps, is_wanted=self._view == "steps")
        if self._view in {"timeline", "transitions"}:
            self._draw_whole(details, now)
            return
        self._drawn = ()
        if self._view == "graph":
            nodes = task_graph.graph_nodes(details, self._step)
            label = f"Graph of {details.report.template}: {len(nodes)} steps"
            key = f"graph {self._zoom} {details.report.life}"
            self._body.keep(key, lambda: task_graph.graph(details.plan, nodes, label, self._zoom), nodes)
        elif self._view == "steps":
            self._draw_steps(details)
        elif self._view == "events":
            self._body.show(task_history.events(self._events, self._events_fault, self._lag))
        else:
            self._body.show(task_history.data(details))

    def _draw_steps(self, details: TaskDetails) -> None:
        rows = task_steps.step_rows(details, self._step, self._search.wanted)
        is_empty = not details.report.steps
        self._body.keep(
            f"steps {details.report.life}", lambda: task_steps.step_table(rows, is_empty=is_empty), rows
        )

    def _draw_whole(self, details: TaskDetails, now: int) -> None:
        drawn = (self._view, self._shown, self._past.offset, self._step)
        is_resting = time.monotonic() < self._rests_until and drawn == self._drawn
        if is_resting and len(details.report.steps) >= HEAVY_STEPS and details.report.closed_at is None:
            return
        self._drawn, self._rests_until = drawn, time.monotonic() + HEAVY_REST_SECONDS
        is_timeline = self._view == "timeline"
        self._body.show(
            timeline(details, now) if is_timeline else task_history.transitions(details, self._shown)
        )

    def _draw_side(self, details: TaskDetails) -> None:
        if self._step is None:
            self._grid.classes(remove="has-side")
            self._side.show(EMPTY)
            return
        self._grid.classes(add="has-side")
        step = details.step(self._step)
        head = tag(
            "div",
            tag("h2", self._step, id="step-title", tabindex=-1),
            tag("span", class_="grow"),
            tag(
                "button",
                "Close",
                type="button",
                class_="btn btn-small",
                data_act="close-step",
                id="close-step",
            ),
            class_="page-head",
        )
        buttons = None
        if step is not None and context.may_operate():
            shown = step_buttons(details, step, self._closed())
            buttons = tag("div", shown, class_="line", role="group", aria_label="Commands for the step")
        self._side.show(
            tag(
                "section",
                head,
                buttons,
                task_steps.step_panel(details, self._step),
                class_="panel stack",
                aria_label=f"Step {self._step}",
            )
        )

    def _navigation(self, details: TaskDetails) -> Markup:
        return tag(
            "nav",
            *(
                tag(
                    "a", name, href=self._address(view=key), data_act="view", data_value=key, id=f"view-{key}",
                    aria_current="true" if key == self._view else None,
                )
                for key, name in VIEWS
            ),
            class_="views",
            aria_label="Views of the task",
        )  # fmt: skip

    def _lives(self, details: TaskDetails) -> Markup | None:
        if len(details.lives) < 2:
            return None
        links = (
            tag(
                "a", f"life {at}", href=f"?life={each}", title=f"Began at offset {each}",
                aria_current="true" if each == details.report.life else None, class_="tag",
            )
            for at, each in enumerate(details.lives, 1)
        )  # fmt: skip
        return tag("p", "Lives of this identity: ", *links, class_="note")

    def _closed(self) -> str | None:
        """Why no command can be given now."""
        if self._past.offset is not None:
            return "You look at the past; go back to now first."
        if self._details is not None and not self._details.is_newest:
            return "This is an earlier life of the task; commands go to its newest."
        return context.closed_why()

    # ------------------------------------------------------------------------------------------- acting

    async def _act(self, act: str, value: str) -> None:
        details = self._details
        if details is None:
            return
        if act == "step":
            self._choose(details, value)
        elif act == "close-step":
            self._unchoose(details)
        elif act == "view":
            self._view = value if value in dict(VIEWS) else self._view
            await self._read_events()
            self._draw(details)
        elif act == "zoom":
            self._zoom = task_graph.zoomed(self._zoom, value)
            self._draw(details)
        elif act == "older":
            self._shown += task_history.PAGE_ROWS
            self._draw(details)
        elif act == "closed":
            ui.notify(value, position="top", type="info", timeout=8000)
        elif act == "command":
            self._command(details, value)
        self._remember()

    def _searched(self) -> None:
        if self._details is not None:
            self._draw(self._details)
        self._remember()

    def _choose(self, details: TaskDetails, name: str) -> None:
        self._step = name
        self._draw(details)
        self._side.reveal("step-title")

    def _unchoose(self, details: TaskDetails) -> None:
        position = details.plan.index.get(self._step or "")
        self._step = None
        self._draw(details)
        if position is not None:
            self._body.reveal(f"node-{position}" if self._view == "graph" else f"step-link-{position}")

    def _command(self, details: TaskDetails, value: str) -> None:
        action = OperatorAction(value)
        is_of_step = action.endswith("_step") or action is OperatorAction.SET_MAX_ATTEMPTS
        step = details.step(self._step or "") if is_of_step else None
        if is_of_step and step is None:
            return
        open_command(action, details, step)

    def _remember(self) -> None:
        ui.navigate.history.replace(self._address())

    def _address(self, view: str | None = None) -> str:
        """The page as it is looked at, for links and for loading it again."""
        parts = {"view": view or self._view, "step": self._step or "", "life": self._life or ""}
        parts |= self._search.wanted.address()
        return "?" + urlencode({name: value for name, value in parts.items() if value})


def _fault(error: TaskerError, *, is_shown: bool) -> Markup:
    next_step = f" {error.next_step}" if error.next_step else ""
    shown = " What is shown is as it was read last." if is_shown else ""
    return tag(
        "p",
        f"{cut(str(error.message), 600)}{next_step} Tried again by itself.{shown}",
        class_="alert tone-retry",
    )
