"""What a task gives back: its template's `output` mapping, or else the results of its leaf steps.

Evaluated by readers (client, projection, API) after they have resolved payload references; `decide` never
needs it. A value that is not there (a step bypassed, resolved by hand or not run; a field its result does not
have) is null, so that an output always has the shape its template shows.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from .json_strict import JsonObject, JsonValue
from .paths import MISSING, PathSteps, follow, parse_path
from .plan import Plan

__all__ = ["evaluate_output", "output_paths", "output_steps"]


def output_steps(plan: Plan) -> tuple[str, ...]:
    """Names of the steps whose results the output is made of, in the template's order: what to fetch."""
    if plan.output is None:
        return plan.leaves
    used = {path[0] for _, path in output_paths(plan.output)}
    return tuple(step.name for step in plan.steps if step.name in used)


def evaluate_output(plan: Plan, results: Mapping[str, JsonValue]) -> JsonObject:
    """The task's own result.

    results: decoded result by step name; a step that has none may be absent or None. Only the steps of
    `output_steps(plan)` are looked at.
    """
    if plan.output is None:
        return {name: results.get(name) for name in plan.leaves}
    return {name: _evaluate(each, results) for name, each in plan.output.items()}


def output_paths(output: Mapping[str, Any]) -> Iterator[tuple[tuple[str, ...], PathSteps]]:
    """Each path of an output mapping with the place where it stands. PathError for one that is no path."""
    stack: list[tuple[tuple[str, ...], Any]] = [((name,), each) for name, each in reversed([*output.items()])]
    while stack:
        place, value = stack.pop()
        if isinstance(value, Mapping):
            stack.extend(((*place, name), each) for name, each in reversed([*value.items()]))
        else:
            yield place, parse_path(value)


def _evaluate(value: Any, results: Mapping[str, JsonValue]) -> JsonValue:
    if isinstance(value, Mapping):
        return {name: _evaluate(each, results) for name, each in value.items()}
    step, *rest = parse_path(value)
    found = follow(tuple(rest), results.get(str(step)))
    return None if found is MISSING else found
