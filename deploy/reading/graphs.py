"""A template's or a task's DAG as text: Mermaid for pages and documents, an indented tree for terminals."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from tasker_kafka.schemas.plan import Plan, PlanStep
from tasker_kafka.schemas.words import StepStatus

__all__ = ["SIGNS", "Branch", "branches", "graph_json", "mermaid", "tree"]

SIGNS: Mapping[StepStatus, str] = {
    StepStatus.PENDING: "·",
    StepStatus.ENQUEUED: "…",
    StepStatus.IN_PROGRESS: "▶",
    StepStatus.WAITING_FOR_RETRY: "↻",
    StepStatus.COMPLETE: "✓",
    StepStatus.ERROR: "✗",
    StepStatus.CANCELLED: "⊘",
    StepStatus.RESOLVED_MANUALLY: "✓*",
}
"""Shape besides colour: a graph must read in black and white too."""

_CLASSES = (
    "classDef complete fill:#d3f2d3,stroke:#2e7d32;",
    "classDef resolved_manually fill:#d3f2d3,stroke:#2e7d32,stroke-dasharray:4;",
    "classDef error fill:#f9d6d5,stroke:#b71c1c;",
    "classDef in_progress fill:#d6e6f9,stroke:#1557a0;",
    "classDef waiting_for_retry fill:#fdeccb,stroke:#b26a00;",
    "classDef cancelled fill:#e4e4e4,stroke:#555,stroke-dasharray:4;",
)


def mermaid(plan: Plan, states: Mapping[str, StepStatus] | None = None) -> str:
    """A Mermaid flowchart of the steps; with `states` (by step name) each node carries its own."""
    lines = ["flowchart TD"]
    for position, step in enumerate(plan.steps):
        state = None if states is None else states.get(step.name)
        if state is None:
            lines.append(f'    s{position}["{step.name}"]')
        else:
            lines.append(f'    s{position}["{SIGNS[state]} {step.name}<br/>{state}"]:::{state}')
    for position, parents in enumerate(plan.parents):
        lines.extend(f"    s{parent} --> s{position}" for parent in parents)
    if states is not None:
        lines.extend(f"    {each}" for each in _CLASSES)
    return "\n".join(lines) + "\n"


class Branch(NamedTuple):
    """One line of the tree: what stands before the step, and whether the step stood in full further up."""

    lead: str
    step: PlanStep
    parent: str
    """Below which it stands; empty for a root."""
    is_known: bool


def branches(plan: Plan) -> Iterator[Branch]:
    """The steps as an indented tree. One of several parents stands in full below the first, and again below others."""
    shown: set[int] = set()
    roots = [position for position, step in enumerate(plan.steps) if not step.parents]
    # Depth can be 50 and width 1,000: an explicit stack, in reverse so that the first comes out first.
    stack = [(position, "", "", place == len(roots) - 1) for place, position in enumerate(roots)][::-1]
    while stack:
        position, parent, indent, is_last = stack.pop()
        is_known = position in shown
        shown.add(position)
        step = plan.steps[position]
        yield Branch(f"{indent}{'└─' if is_last else '├─'} ", step, parent, is_known)
        if is_known:
            continue
        deeper = indent + ("   " if is_last else "│  ")
        below = plan.children[position]
        stack += [(child, step.name, deeper, place == len(below) - 1) for place, child in enumerate(below)][
            ::-1
        ]


def tree(plan: Plan, states: Mapping[str, StepStatus] | None = None) -> str:
    """`branches` as text, with each step's state if `states` (by step name) are given."""
    lines = [f"{plan.namespace}/{plan.name}@{plan.version}"]
    lines += [
        f"{each.lead}{_node(each.step, each.parent, states, is_known=each.is_known)}"
        for each in branches(plan)
    ]
    return "\n".join(lines) + "\n"


def _node(step: PlanStep, parent: str, states: Mapping[str, StepStatus] | None, *, is_known: bool) -> str:
    state = None if states is None else states.get(step.name)
    text = step.name if state is None else f"{SIGNS[state]} {step.name} [{state}]"
    if is_known:
        return f"{text} (see above)"
    others = [name for name in step.parents if name != parent]
    return f"{text} (also after {', '.join(others)})" if others else text


def graph_json(plan: Plan, states: Mapping[str, StepStatus] | None = None) -> dict[str, Any]:
    """Nodes (name, handler, queue, state) and edges (from, to)."""
    return {
        "namespace": plan.namespace,
        "template": plan.name,
        "version": plan.version,
        "nodes": [
            {
                "name": step.name,
                "handler": step.handler,
                "queue": step.queue,
                "state": None if states is None else states.get(step.name),
            }
            for step in plan.steps
        ],
        "edges": [{"from": parent, "to": step.name} for step in plan.steps for parent in step.parents],
    }
