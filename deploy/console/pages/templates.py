"""/console/templates: what is published, and each version's graph, levels, critical path and figures."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from nicegui import ui
from nicegui.element import Element

from tasker_kafka.deploy.console.backend import TemplateDetails
from tasker_kafka.schemas.errors import TaskerError
from tasker_kafka.streams.projection import BottleneckRow, PerformanceQuery, PerformanceRow

from . import context, shell, templates_view
from .dag_layout import Layout, lay_out
from .dag_svg import NodeView, draw, nodes_markup
from .dialogs import text_field
from .live import LiveHtml, Refresher
from .markup import EMPTY, Markup, cut, join, tag
from .task_graph import zoom_buttons, zoomed
from .tasks_submit import offer_submit

__all__ = ["show_template", "show_templates"]

LOOK_AGAIN_SECONDS = 5.0
BUILD_SECONDS = 30.0


@ui.page("/console/templates", response_timeout=BUILD_SECONDS)
async def show_templates(text: str = "") -> None:
    """Every published version."""
    with shell.frame("Templates", active="/console/templates"):
        LiveHtml(tag("div", tag("h1", "Templates"), class_="page-head"))
        notice = LiveHtml().props("role=status")
        with Element("div").classes("filters"):
            field = text_field("Name or description", text)
            field.props("debounce=300 clearable")
        shown = LiveHtml()

        async def refresh() -> None:
            try:
                rows = await context.backend().templates()
            except TaskerError as error:
                notice.show(_fault(error))
                return
            notice.show(EMPTY)
            shown.show(templates_view.template_table(rows, str(field.value or "")))

        field.on_value_change(refresh)
        await refresh()
        _keep(refresh)


@ui.page("/console/templates/{namespace}/{name}", response_timeout=BUILD_SECONDS)
async def show_latest(namespace: str, name: str) -> None:
    """The latest version."""
    await _show(namespace, name, None)


@ui.page("/console/templates/{namespace}/{name}/{version}", response_timeout=BUILD_SECONDS)
async def show_template(namespace: str, name: str, version: str) -> None:
    """One version."""
    await _show(namespace, name, version)


async def _show(namespace: str, name: str, version: str | None) -> None:
    with shell.frame(f"{namespace}/{name}", active="/console/templates"):
        page = _TemplatePage(namespace, name, version)
        await page.refresh()
        _keep(page.refresh)


def _keep(refresh: Callable[[], Awaitable[None]]) -> None:
    """Look again now and then: templates are published while somebody looks, and brokers come back."""
    refresher = Refresher(refresh)
    refresher.start()
    ui.timer(LOOK_AGAIN_SECONDS, refresher.ask, immediate=False)


class _TemplatePage:
    """What one visitor looks at."""

    def __init__(self, namespace: str, name: str, version: str | None) -> None:
        self._namespace, self._name, self._version = namespace, name, version
        self._zoom = 1.0
        self._details: TemplateDetails | None = None
        self._notice = LiveHtml().props("role=status")
        self._head = LiveHtml()
        with Element("div").classes("stack"):
            self._facts = LiveHtml()
            self._graph = LiveHtml()
            self._figures = LiveHtml()
        for each in (self._head, self._graph, self._figures):
            each.on_act(self._act)

    async def refresh(self) -> None:
        """Read the version and its figures, and send what changed."""
        backend = context.backend()
        query = PerformanceQuery(namespace=self._namespace, template=self._name)
        try:
            details = await backend.template(self._namespace, self._name, self._version)
        except TaskerError as error:
            self._notice.show(_fault(error))
            return
        measured: tuple[BottleneckRow, ...] = ()
        closed: tuple[PerformanceRow, ...] = ()
        notice = EMPTY
        try:
            measured, closed = await backend.bottlenecks(query), await backend.performance(query)
        except TaskerError as error:
            notice = _fault(error)
        self._details = details
        self._notice.show(notice)
        self._draw(details, measured, closed)

    def _draw(
        self,
        details: TemplateDetails,
        measured: tuple[BottleneckRow, ...],
        closed: tuple[PerformanceRow, ...],
    ) -> None:
        self._head.show(_head(details))
        self._facts.show(
            tag("section", templates_view.plan_facts(details), class_="panel", aria_label="Overview")
        )
        self._graph.show(_graph(details, self._zoom))
        self._figures.show(
            tag(
                "div",
                tag("section", tag("h2", "Tasks"), templates_view.performance(closed), class_="panel"),
                tag(
                    "section",
                    tag("h2", "Steps"),
                    templates_view.step_table(details, measured),
                    class_="panel",
                ),
                tag("section", tag("h2", "Levels"), templates_view.levels(details), class_="panel"),
                templates_view.plan_json(details),
                class_="stack",
            )
        )

    async def _act(self, act: str, value: str) -> None:
        details = self._details
        if details is None:
            return
        if act == "zoom":
            self._zoom = zoomed(self._zoom, value)
            self._graph.show(_graph(details, self._zoom))
        elif act == "submit":
            row = details.template
            await offer_submit(f"{row.namespace}/{row.name}@{row.version}")
        elif act == "step":
            self._figures.reveal(f"step-{value}")


def _head(details: TemplateDetails) -> Markup:
    row = details.template
    versions = (
        tag(
            "a",
            each,
            href=f"/console/templates/{row.namespace}/{row.name}/{each}",
            class_="tag",
            aria_current="true" if each == row.version else None,
        )
        for each in reversed(details.versions)
    )
    tasks = f"/console?namespace={row.namespace}&template={row.name}"
    why = context.closed_why()
    return join(
        (
            tag(
                "p", tag("a", "Templates", href="/console/templates"), f" / {row.namespace}", class_="crumbs"
            ),
            tag(
                "div",
                tag("h1", f"{row.name} {row.version}"),
                tag("span", "latest", class_="tag") if row.is_latest else None,
                tag("nav", "Versions: ", Markup(" ").join(versions), aria_label="Versions", class_="note"),
                tag("span", class_="grow"),
                tag("a", "Its tasks", href=tasks),
                None
                if why or not context.may_operate()
                else tag(
                    "button", "Submit a task…", type="button", id="submit", class_="btn", data_act="submit"
                ),
                class_="page-head",
            ),
            tag("p", row.description, class_="note", style="margin-bottom: 14px")
            if row.description
            else None,
        )
    )


def _layout(details: TemplateDetails) -> Layout:
    index = {step.name: at for at, step in enumerate(details.steps)}
    parents = [[index[name] for name in step.parents] for step in details.steps]
    return lay_out(parents, [step.dependency_level for step in details.steps])


def _graph(details: TemplateDetails, zoom: float) -> Markup:
    critical = {*details.critical_path}
    nodes = [
        NodeView(
            step.name, None, cut(step.handler, 22), f"#step-{step.name}", is_marked=step.name in critical
        )
        for step in details.steps
    ]
    layout = _layout(details)
    drawn = draw(layout, nodes_markup(layout, nodes), f"Graph of {details.template.name}", zoom=zoom)
    note = tag("span", "thick border: critical path", class_="legend")
    tools = tag("div", zoom_buttons(zoom), note if critical else None, class_="graph-tools")
    return tag("div", tools, drawn, class_="graph")


def _fault(error: TaskerError) -> Markup:
    said = " ".join(part for part in (error.message, error.next_step) if part)
    return tag("p", f"{said} Tried again by itself.", class_="alert tone-retry")
