"""A task's or a template's graph as SVG: every step says its state by colour, by sign and in words.

Steps are links: the keyboard reaches them, screen readers say their name and state, and without the page's script
they still lead to the step. One node is one piece of markup with an id, so that a state that changes is a small
message and not a new graph.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from tasker_kafka.schemas.words import StepStatus

from .dag_layout import NODE_HEIGHT, NODE_WIDTH, Edge, Layout, Spot
from .markup import Markup, cut, join, tag, words
from .theme import state_class

__all__ = ["NodeView", "draw", "legend", "node_id", "node_markup", "nodes_markup"]

NAME_LENGTH: Final = 19
"""Characters of a name that fit its box; the whole name is in its title."""
STATE_LENGTH: Final = 22
FAINT_FROM: Final = 600
"""Edges of a graph from which on they are drawn fainter."""

_MARKS: Final[Mapping[str, tuple[str, bool]]] = {
    StepStatus.PENDING: ("M6 0a6 6 0 1 1-12 0 6 6 0 1 1 12 0", False),
    StepStatus.ENQUEUED: ("M6 0a6 6 0 1 1-12 0 6 6 0 1 1 12 0M0-3.5V0l2.5 1.5", False),
    StepStatus.IN_PROGRESS: ("M-4-6 6 0-4 6Z", True),
    StepStatus.WAITING_FOR_RETRY: ("M5.5-1.5A5.7 5.7 0 1 0 5.3 2.4M6-6v4.5H1.5", False),
    StepStatus.COMPLETE: ("M-6 .5-2 5 6-4.5", False),
    StepStatus.ERROR: ("M-5-5 5 5M5-5-5 5", False),
    StepStatus.CANCELLED: ("M6 0a6 6 0 1 1-12 0 6 6 0 1 1 12 0M-4.2 4.2 4.2-4.2", False),
    StepStatus.RESOLVED_MANUALLY: ("M-6 6-5 2 3-6 6-3-2 5ZM1-4 4-1", False),
}
"""State → the path of its sign around (0, 0), and whether it is filled."""
_PLAIN: Final = ("M-5 0H5", False)

_CORNERS: Final[Mapping[str, tuple[int, str | None]]] = {
    StepStatus.PENDING: (6, "4 3"),
    StepStatus.ENQUEUED: (6, None),
    StepStatus.IN_PROGRESS: (21, None),
    StepStatus.WAITING_FOR_RETRY: (21, "7 4"),
    StepStatus.COMPLETE: (6, None),
    StepStatus.ERROR: (0, None),
    StepStatus.CANCELLED: (0, "2 3"),
    StepStatus.RESOLVED_MANUALLY: (6, "1 0"),
}
"""State → how round its box's corners are, and how its border is dashed: the shape tells it from afar."""


class NodeView(NamedTuple):
    """What a step's box says. `state` None: of a template, which has none."""

    name: str
    state: StepStatus | None
    detail: str
    """The second line, beside the state: attempts, or a template's queue."""
    href: str
    is_marked: bool = False
    """Drawn with a thick border, as a template's critical path."""


def node_id(position: int) -> str:
    """The id of a step's element."""
    return f"node-{position}"


def node_markup(position: int, node: NodeView, spot: Spot, *, is_chosen: bool = False) -> Markup:
    """One step's box, as a link."""
    state = node.state
    radius, dash = (6, None) if state is None else _CORNERS.get(state, (6, None))
    said = node.detail if state is None else " · ".join(p for p in (words(state), node.detail) if p)
    mark, is_solid = _PLAIN if state is None else _MARKS.get(state, _PLAIN)
    classes = f"node {state_class(state or '')}{' is-running' if state is StepStatus.IN_PROGRESS else ''}"
    if node.is_marked:
        classes += " is-marked"
    return tag(
        "a",
        tag("title", f"{node.name}: {said}"),
        tag(
            "rect",
            class_="frame",
            width=NODE_WIDTH,
            height=NODE_HEIGHT,
            rx=radius,
            stroke_dasharray=None if dash == "1 0" else dash,
        ),
        tag("rect", class_="frame", x=3, y=3, width=NODE_WIDTH - 6, height=NODE_HEIGHT - 6, rx=4)
        if dash == "1 0"
        else None,
        tag("path", d=mark, class_="mark is-solid" if is_solid else "mark", transform="translate(18 21)"),
        tag("text", cut(node.name, NAME_LENGTH), x=35, y=18, class_="name"),
        tag("text", cut(said, STATE_LENGTH), x=35, y=33, class_="state"),
        id=node_id(position),
        class_=classes,
        href=node.href,
        transform=f"translate({spot.x:g} {spot.y:g})",
        data_act="step",
        data_value=node.name,
        aria_label=f"Step {node.name}: {said}",
        aria_current="step" if is_chosen else None,
    )


def nodes_markup(layout: Layout, nodes: Sequence[NodeView], chosen: str | None = None) -> dict[str, Markup]:
    """Every step's box by its element's id: what `draw` draws, and what is patched when something changes."""
    return {
        node_id(position): node_markup(position, node, spot, is_chosen=node.name == chosen)
        for position, (node, spot) in enumerate(zip(nodes, layout.spots, strict=True))
    }


def draw(layout: Layout, nodes: Mapping[str, Markup], label: str, *, zoom: float = 1.0) -> Markup:
    """The whole graph in a frame that scrolls. `zoom`: its scale; 0 fits the width of the frame."""
    edges = join(
        (
            tag(
                "path",
                d="".join(_path(each, layout.spots) for each in layout.edges),
                class_="edges is-faint" if len(layout.edges) >= FAINT_FROM else "edges",
            ),
            tag(
                "path",
                d="".join(_head(layout.spots[each.child]) for each in layout.edges),
                class_="edge-heads",
            ),
        )
    )
    size = (
        {"width": round(layout.width * zoom), "height": round(layout.height * zoom)}
        if zoom
        else {"width": "100%"}
    )
    drawn = tag(
        "svg",
        tag("g", edges, aria_hidden="true"),
        tag("g", *nodes.values()),
        class_="dag",
        viewBox=f"0 0 {layout.width:g} {layout.height:g}",
        role="group",
        aria_label=label,
        **size,
    )
    return tag("div", drawn, class_="graph-frame", id="graph-frame", data_scroll=True)


def legend(states: Iterable[StepStatus]) -> Markup:
    """The signs of these states and what they mean."""
    return tag(
        "div",
        *(
            tag(
                "span",
                tag(
                    "svg",
                    tag("path", d=_MARKS[state][0], class_="mark" + " is-solid" * _MARKS[state][1]),
                    viewBox="-9 -9 18 18",
                    width=13,
                    height=13,
                    class_="dag",
                    aria_hidden="true",
                ),
                " ",
                words(state),
                class_=state_class(state),
            )
            for state in states
        ),
        class_="legend",
    )


def _path(edge: Edge, spots: Sequence[Spot]) -> str:
    """An edge as path data: from box to box, level at its ends, through its bends."""
    start, end = spots[edge.parent], spots[edge.child]
    points = [Spot(start.x + NODE_WIDTH, start.y + NODE_HEIGHT / 2)]
    for bend in edge.bends:
        points += [bend, Spot(bend.x + NODE_WIDTH, bend.y)]
    points.append(Spot(end.x - 6, end.y + NODE_HEIGHT / 2))
    parts = [f"M{points[0].x:g} {points[0].y:g}"]
    for at in range(0, len(points) - 1, 2):
        one, other = points[at], points[at + 1]
        middle = (one.x + other.x) / 2
        parts.append(f"C{middle:g} {one.y:g} {middle:g} {other.y:g} {other.x:g} {other.y:g}")
        if at + 2 < len(points):
            parts.append(f"H{points[at + 2].x:g}")
    return "".join(parts)


def _head(spot: Spot) -> str:
    """The tip of an arrow at a step's left side."""
    return f"M{spot.x - 7:g} {spot.y + NODE_HEIGHT / 2 - 4:g}l7 4-7 4Z"
