"""A task's graph: its layout is made once per plan, its nodes whenever something moves. Pure but for that memory."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

from tasker_kafka.deploy.console.backend.shapes import TaskDetails
from tasker_kafka.schemas.plan import Plan
from tasker_kafka.schemas.words import StepStatus
from tasker_kafka.streams.domain.views import dag

from .dag_layout import Layout, lay_out
from .dag_svg import NodeView, draw, legend, nodes_markup
from .markup import Markup, tag

__all__ = ["graph", "graph_nodes", "layout_of", "zoom_buttons", "zoomed"]


def layout_of(plan: Plan) -> Layout:
    """Where the plan's steps stand; kept for the plans that are looked at most."""
    return _kept(plan.parents, tuple(row.dependency_level for row in dag(plan)))


@lru_cache(maxsize=64)
def _kept(parents: tuple[tuple[int, ...], ...], levels: tuple[int, ...]) -> Layout:
    return lay_out(parents, levels)


def graph_nodes(details: TaskDetails, chosen: str | None) -> dict[str, Markup]:
    """Every step's box by its element's id."""
    views = [
        NodeView(
            step.name,
            step.state,
            "" if step.attempts <= 1 else f"{step.attempts}/{step.max_attempts}",
            f"?step={step.name}",
        )
        for step in details.report.steps
    ]
    return nodes_markup(layout_of(details.plan), views, chosen)


def graph(plan: Plan, nodes: Mapping[str, Markup], label: str, zoom: float) -> Markup:
    """The graph with its tools: how large, and what the signs mean."""
    tools = tag("div", zoom_buttons(zoom), legend(StepStatus), class_="graph-tools")
    drawn = draw(layout_of(plan), nodes, label, zoom=zoom)
    return tag("div", tools, drawn, class_="graph")


def zoom_buttons(zoom: float) -> Markup:
    """How large the graph is drawn."""
    buttons = (
        ("−", "out", "Smaller", False),
        ("100 %", "one", "Original size", zoom == 1),
        ("+", "in", "Larger", False),
        ("Fit", "fit", "Fit the width", zoom == 0),
    )
    return tag(
        "div",
        *(
            tag(
                "button", text, type="button", class_="btn btn-small", data_act="zoom", data_value=value,
                aria_label=said, aria_pressed="true" if is_so else None, id=f"zoom-{value}",
            )
            for text, value, said, is_so in buttons
        ),
        class_="line",
    )  # fmt: skip


def zoomed(zoom: float, step: str) -> float:
    """The scale after a press of one of the tools; 0 fits the width."""
    if step == "fit":
        return 0
    if step == "one" or not zoom:
        return 1
    return min(3.0, zoom * 1.25) if step == "in" else max(0.2, zoom / 1.25)
