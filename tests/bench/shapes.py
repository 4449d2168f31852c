"""The shapes that are measured: what a task looks like decides where its time goes.

A chain waits for itself, a fan-out is one wide decision, a tree has many leaves and no join.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from tasker_kafka.schemas.plan import Plan
from tasker_kafka.schemas.template import Template
from tests.support.system import chain, fan_out

__all__ = ["SHAPES", "diamond", "plans", "tree"]

HANDLER: Final = "test.noop"


def diamond() -> Plan:
    """start → {left, right} → end."""
    template = Template("diamond").step("start", handler=HANDLER)
    for branch in ("left", "right"):
        template = template.step(branch, handler=HANDLER, depends_on=["start"])
    return template.step("end", handler=HANDLER, depends_on=["left", "right"]).compile()


def tree(depth: int, width: int = 2) -> Plan:
    """A root and `width` children below each step, `depth` levels in all: 15 steps for (4, 2), and no join."""
    template = Template(f"tree_{depth}_{width}").step("root", handler=HANDLER)
    level = ["root"]
    for _ in range(depth - 1):
        below = {f"{parent}_{number}": parent for parent in level for number in range(width)}
        for name, parent in below.items():
            template = template.step(name, handler=HANDLER, depends_on=[parent])
        level = [*below]
    return template.compile()


_BUILD: Final[dict[str, Callable[[], Plan]]] = {
    "chain-5": lambda: chain(5),
    "linear-4": lambda: chain(4),
    "diamond": diamond,
    "fan-out-20": lambda: fan_out(20),
    "tree": lambda: tree(4),
}
SHAPES: Final = tuple(_BUILD)
"""By the names in the tables: 5, 4, 4, 22 and 15 steps."""


def plans() -> dict[str, Plan]:
    """The shapes by name, compiled."""
    return {name: build() for name, build in _BUILD.items()}
