"""The names of system events as people know them, and where the log has each.

People speak of `task.completed` and `workflow.no_viable_steps`; the log records which edge a task or step took, and why
(`deploy.catalog.system_events`). This is the table between the two. What only a running process sees is in no log.
"""

from __future__ import annotations

from functools import cache
from typing import Final, Literal

import msgspec

from .catalog import SystemEventEntry, system_events

__all__ = ["NamedEvent", "named_events"]

Category = Literal["task", "step", "workflow"]


class NamedEvent(msgspec.Struct, frozen=True, kw_only=True):
    """One name. `seen_in`: the recorded events that tell of it, any of them; (): it is in no record."""

    name: str
    category: Category
    meaning: str
    seen_in: tuple[str, ...]


_ENQUEUED: Final = ("step.enqueue_requested",)
_COMPLETED: Final = ("step.completed", "step.completed_manually", "step.bypassed")
_FAILED: Final = ("step.failed", "step.retry_backoff_started", "step.timed_out", "step.lost")
_TASK_FAILED: Final = ("task.give_up", "task.deadline_exceeded", "task.stale", "task.quarantined")
_NAMES: Final[dict[str, tuple[str, tuple[str, ...] | None]]] = {
    "task.initialize_requested": ("A request was accepted.", ("task.initialize_requested",)),
    "task.start_requested": ("The task starts.", ("task.start_requested",)),
    "task.steps_discovery_completed": ("An evaluation found steps that can run.", _ENQUEUED),
    "task.steps_enqueued": ("Their dispatches are in the log.", _ENQUEUED),
    "task.step_results_received": (
        "A result was accepted.",
        ("step.completed", "step.failed", "step.retry_backoff_started", "step.returned", "step.lost"),
    ),
    "task.awaiting_dependencies": (
        "The task waits for what is outside of it.",
        ("task.awaiting_dependencies",),
    ),
    "task.retry_backoff_started": ("The task waits for its next retry.", ("task.retry_backoff_started",)),
    "task.blocked_by_failures": ("Failed steps leave nothing to run.", ("task.blocked",)),
    "task.completed": ("Every step is complete or resolved.", ("task.all_steps_done",)),
    "task.failed": ("The task ends in error.", _TASK_FAILED),
    "task.retry_requested": ("An operator reopens the task.", ("task.retry_requested", "task.resumed")),
    "task.cancelled": ("An operator cancels the task.", ("task.cancelled",)),
    "task.resolved_manually": ("An operator declares the task dealt with.", ("task.resolved_manually",)),
    "task.before_transition": ("The task takes an edge.", None),
    "step.initialize_requested": ("The step was created.", ("step.initialize_requested",)),
    "step.enqueue_requested": ("An attempt is granted and dispatched.", _ENQUEUED),
    "step.execution_requested": ("A worker took the attempt.", ("step.execution_requested",)),
    "step.before_handle": ("A worker is about to call the handler.", ()),
    "step.handle": ("The handler runs.", ()),
    "step.result_submitted": ("The worker's result is acknowledged.", ()),
    "step.completed": ("The step is complete.", _COMPLETED),
    "step.failed": ("An attempt failed, for good or not.", _FAILED),
    "step.retry_requested": ("The step may run again.", ("step.retry_requested",)),
    "step.cancelled": ("The step is cancelled.", ("step.cancelled",)),
    "step.resolved_manually": ("An operator declares the step dealt with.", ("step.resolved_manually",)),
    "step.before_transition": ("The step takes an edge.", None),
    "workflow.task_started": ("The task has its first dispatch.", ("task.start_requested",)),
    "workflow.task_completed": ("The task is complete.", ("task.all_steps_done",)),
    "workflow.task_failed": ("The task ends in error.", _TASK_FAILED),
    "workflow.step_completed": ("A step is complete.", _COMPLETED),
    "workflow.step_failed": ("An attempt of a step failed.", _FAILED),
    "workflow.viable_steps_discovered": ("An evaluation found steps that can run.", _ENQUEUED),
    "workflow.no_viable_steps": (
        "An evaluation found none.",
        ("task.awaiting_dependencies", "task.retry_backoff_started", "task.blocked"),
    ),
    "workflow.orchestration_requested": ("A command reached the engine.", ()),
}
"""Name → meaning, and where it is recorded; None: in every edge of its task or step."""


@cache
def named_events() -> tuple[NamedEvent, ...]:
    """Every name: the tasks' first, then the steps', then the workflows'."""
    return tuple(
        NamedEvent(
            name=name,
            category=(category := _category(name)),
            meaning=meaning,
            seen_in=_edges_of(category) if seen_in is None else seen_in,
        )
        for name, (meaning, seen_in) in _NAMES.items()
    )


def _category(name: str) -> Category:
    first = name.partition(".")[0]
    return "task" if first == "task" else "step" if first == "step" else "workflow"


def _edges_of(entity: Category) -> tuple[str, ...]:
    return tuple(each.name for each in system_events() if each.entity == entity and _is_edge(each))


def _is_edge(entry: SystemEventEntry) -> bool:
    """Whether it moves a task or step, and does not only note something."""
    return any(edge.from_state is not edge.to_state for edge in entry.edges)
