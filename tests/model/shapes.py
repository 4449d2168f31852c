"""The workflows that are explored, and where in their life the exploration may begin."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from tasker_kafka.schemas.plan import Plan, PlanStep, RetryPolicy

__all__ = ["SHAPES", "plan_of"]

SHAPES: Final[Mapping[str, Mapping[str, tuple[str, ...]]]] = {
    "chain-2": {"a": (), "b": ("a",)},
    "fan-in-2": {"a": (), "b": (), "c": ("a", "b")},
    "diamond": {"a": (), "b": ("a",), "c": ("a",), "d": ("b", "c")},
}
"""Step → its parents."""


def plan_of(shape: str) -> Plan:
    """The shape's plan. A failed attempt is tried again at once, so that no timer is needed."""
    return Plan(
        namespace="model",
        name=shape,
        version="1.0.0",
        steps=tuple(
            PlanStep(
                name=name,
                handler=f"model.{name}",
                queue="model",
                parents=parents,
                retry=RetryPolicy(backoff="none", jitter=0.0),
            )
            for name, parents in SHAPES[shape].items()
        ),
    )
