"""Templates of a given shape, built in Python: for tests, for benchmarks, and to see what a graph does.

Names say the parameters (`linear_5`, `fan_out_8`), so different shapes never meet under one name. Steps that fail
first (`fail_times`) are retried after a millisecond, so that a shape measures the engine and not its patience.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from tasker_kafka.schemas.template import Retry, Template

__all__ = ["NAMESPACE", "VERSION", "diamond", "fan_out", "linear", "mixed", "tree"]

NAMESPACE: Final = "shapes"
VERSION: Final = "1.0.0"
_EXTRA_ATTEMPTS: Final = 2


def linear(length: int, *, fail_times: int = 0, namespace: str = NAMESPACE) -> Template:
    """step_1 → step_2 → … → step_`length`; every step fails `fail_times` times first."""
    steps = {f"step_{number}": _after(number - 1) for number in range(1, length + 1)}
    return _template(f"linear_{length}", steps, dict.fromkeys(steps, fail_times), namespace)


def diamond(*, fail_times: int = 0, namespace: str = NAMESPACE) -> Template:
    """start → {left, right} → end; both branches fail `fail_times` times first."""
    steps: dict[str, tuple[str, ...]] = {
        "start": (),
        "left": ("start",),
        "right": ("start",),
        "end": ("left", "right"),
    }
    return _template("diamond", steps, {"left": fail_times, "right": fail_times}, namespace)


def fan_out(width: int, *, fail_times: int = 0, namespace: str = NAMESPACE) -> Template:
    """start → `width` branches → join; every branch fails `fail_times` times first."""
    branches = tuple(f"branch_{number}" for number in range(1, width + 1))
    steps: dict[str, tuple[str, ...]] = {"start": (), **dict.fromkeys(branches, ("start",)), "join": branches}
    return _template(f"fan_out_{width}", steps, dict.fromkeys(branches, fail_times), namespace)


def tree(depth: int, width: int = 2, *, fail_times: int = 0, namespace: str = NAMESPACE) -> Template:
    """A root, and `width` children below each step, `depth` levels in all; leaves fail `fail_times` times first."""
    steps: dict[str, tuple[str, ...]] = {"root": ()}
    level = ["root"]
    for _ in range(depth - 1):
        below = {f"{parent}_{number}": (parent,) for parent in level for number in range(1, width + 1)}
        steps.update(below)
        level = [*below]
    return _template(f"tree_{depth}_{width}", steps, dict.fromkeys(level, fail_times), namespace)


def mixed(*, fail_times: int = 2, namespace: str = NAMESPACE) -> Template:
    """All of it in one: a chain, a fan-out with a join, a branch that goes on alone, and two steps that fail first."""
    steps: dict[str, tuple[str, ...]] = {
        "begin": (),
        "chain_1": ("begin",),
        "chain_2": ("chain_1",),
        "fan_1": ("begin",),
        "fan_2": ("begin",),
        "fan_3": ("begin",),
        "join": ("fan_1", "fan_2", "fan_3"),
        "alone": ("fan_2",),
        "end": ("chain_2", "join"),
    }
    return _template("mixed", steps, {"chain_2": fail_times, "fan_2": fail_times}, namespace)


def _after(number: int) -> tuple[str, ...]:
    return (f"step_{number}",) if number else ()


def _template(
    name: str, steps: Mapping[str, Iterable[str]], failures: Mapping[str, int], namespace: str
) -> Template:
    most = max(failures.values(), default=0)
    template = Template(
        f"{name}_failing_{most}" if most else name,
        namespace=namespace,
        version=VERSION,
        description="A shape for tests and benchmarks",
    )
    for step, parents in steps.items():
        fail_times = failures.get(step, 0)
        if fail_times:
            template.step(
                step,
                handler="shape.flaky",
                depends_on=[*parents],
                config={"fail_times": fail_times},
                retry=Retry(max_attempts=fail_times + _EXTRA_ATTEMPTS, backoff="linear", backoff_base_ms=1),
            )
        else:
            template.step(step, handler="shape.noop", depends_on=[*parents])
    return template
