"""What only the whole template can show: its graph, its events, its schemas and its output.

Each check yields faults and never raises. The graph's order is the template's own, so that messages and plans
are the same on every machine.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, islice

from .event_validators import is_masked
from .findings import MOST_FAULTS, Fault, Path
from .limits import DEPTH, EDGES, FAN_OUT, STEPS, Limit
from .nearest import did_you_mean
from .output import output_paths
from .paths import PathError, parse_path
from .schema_check import check_schema
from .template_models import EventModel, JsonMapping, StepModel, TemplateModel

__all__ = [
    "declared_schemas",
    "event_declarations",
    "events_disabled_faults",
    "find_cycle",
    "longest_path",
    "template_faults",
]

Graph = Mapping[str, Sequence[str]]
"""Step name → names of its parents; only known ones, each once."""


def template_faults(model: TemplateModel) -> tuple[Fault, ...]:
    """Every fault that the single keys do not show."""
    found = chain(
        _step_faults(model),
        _graph_faults(model),
        _event_faults(model),
        _schema_faults(model),
        _output_faults(model),
    )
    return tuple(islice(found, MOST_FAULTS))


# ------------------------------------------------------------------------------------------------ steps


def _step_faults(model: TemplateModel) -> Iterator[Fault]:
    if STEPS.is_exceeded(len(model.steps)):
        yield _over(STEPS, len(model.steps), ("steps",))
    names = {each.name for each in model.steps}
    first: dict[str, int] = {}
    for position, step in enumerate(model.steps):
        if step.name in first:
            message = f"the name `{step.name}` is taken by steps[{first[step.name]}]; names are unique in a template"
            yield Fault(("steps", position, "name"), "duplicate_step", message)
        first.setdefault(step.name, position)
        yield from _dependency_faults(step, position, names)
        for code, count in Counter(step.retry.non_retryable).items():
            if count > 1:
                path = ("steps", position, "retry", "non_retryable")
                yield Fault(path, "duplicate_code", f"the code {code[:80]!r} is there {count} times")


def _dependency_faults(step: StepModel, position: int, names: set[str]) -> Iterator[Fault]:
    seen: set[str] = set()
    for at, parent in enumerate(step.dependencies):
        path: Path = ("steps", position, "dependencies", at)
        if parent == step.name:
            yield Fault(path, "self_dependency", f"step `{parent}` depends on itself")
        elif parent not in names:
            hint = did_you_mean(parent, names - {step.name}, kind="steps")
            yield Fault(path, "unknown_dependency", f"there is no step `{parent[:80]}`; {hint}")
        elif parent in seen:
            yield Fault(path, "duplicate_dependency", f"step `{parent}` is named twice")
        seen.add(parent)


# ------------------------------------------------------------------------------------------------ graph


def _graph_faults(model: TemplateModel) -> Iterator[Fault]:
    graph = _graph(model.steps)
    edges = sum(len(parents) for parents in graph.values())
    if EDGES.is_exceeded(edges):
        yield _over(EDGES, edges, ("steps",))
    children = Counter(parent for parents in graph.values() for parent in parents)
    position = {name: at for at, name in enumerate(graph)}
    for name, count in children.items():
        if FAN_OUT.is_exceeded(count):
            yield _over(FAN_OUT, count, ("steps", position[name]), f"step `{name}`")
    cycle = find_cycle(graph)
    if cycle:
        message = f"the steps wait for each other: {' → '.join(cycle)} (each depends on the next)"
        yield Fault(("steps", position[cycle[0]], "dependencies"), "cycle", message)
        return
    path = longest_path(graph)
    if DEPTH.is_exceeded(len(path)):
        shown = " → ".join([*path[:3], "…", *path[-2:]])
        yield _over(DEPTH, len(path), ("steps", position[path[-1]]), f"the longest path ({shown})")


def _graph(steps: Sequence[StepModel]) -> dict[str, tuple[str, ...]]:
    names = {step.name for step in steps}
    return {
        step.name: tuple(
            dict.fromkeys(each for each in step.dependencies if each in names and each != step.name)
        )
        for step in steps
    }


def find_cycle(graph: Graph) -> tuple[str, ...]:
    """Names on one cycle, the first again at the end; empty if there is none. Iterative: depth costs no stack."""
    done: set[str] = set()
    for start in graph:
        trail: dict[str, None] = {}
        stack = [(start, iter(graph[start]))] if start not in done else []
        if stack:
            trail[start] = None
        while stack:
            name, parents = stack[-1]
            parent = next(parents, None)
            if parent is None:
                stack.pop()
                del trail[name]
                done.add(name)
            elif parent in trail:
                walked = [*trail]
                return (*walked[walked.index(parent) :], parent)
            elif parent not in done:
                trail[parent] = None
                stack.append((parent, iter(graph[parent])))
    return ()


def longest_path(graph: Graph) -> tuple[str, ...]:
    """Names on a longest path of an acyclic graph, from a root down; the first of equals in the graph's order."""
    waiting = {name: len(parents) for name, parents in graph.items()}
    children: dict[str, list[str]] = {name: [] for name in graph}
    for name, parents in graph.items():
        for parent in parents:
            children[parent].append(name)
    level = dict.fromkeys(graph, 1)
    before: dict[str, str] = {}
    ready = [name for name, count in waiting.items() if count == 0]
    for name in ready:
        for child in children[name]:
            if level[name] + 1 > level[child]:
                level[child], before[child] = level[name] + 1, name
            waiting[child] -= 1
            if waiting[child] == 0:
                ready.append(child)
    if not level:
        return ()
    path = [max(level, key=lambda name: level[name])]
    while path[-1] in before:
        path.append(before[path[-1]])
    return tuple(reversed(path))


# ----------------------------------------------------------------------------- events, schemas, output


def events_disabled_faults(model: TemplateModel) -> Iterator[Fault]:
    """One for each place that declares events, for installations where `events.enabled` is false."""
    for path, declared in event_declarations(model):
        if declared:
            message = (
                "events are switched off here (events.enabled = false): switch them on, or take the key out"
            )
            yield Fault(path, "events_disabled", message)


def _event_faults(model: TemplateModel) -> Iterator[Fault]:
    for path, declared in event_declarations(model):
        first: dict[str, int] = {}
        for position, event in enumerate(declared):
            if event.name in first:
                message = f"the event `{event.name}` is declared by {path[-1]}[{first[event.name]}] already"
                yield Fault((*path, position, "name"), "duplicate_event", message)
            first.setdefault(event.name, position)
            yield from (each.below((*path, position)) for each in _declaration_faults(event))


def _declaration_faults(event: EventModel) -> Iterator[Fault]:
    schema = event.payload_schema
    if event.key is not None and schema is not None and is_masked(schema, parse_path(event.key)):
        message = f"`{event.key}` is masked by the schema's `x-redact` and orders nothing; take an id that is no secret"
        yield Fault(("key",), "redacted_key", message)


def event_declarations(model: TemplateModel) -> Iterator[tuple[Path, Sequence[EventModel]]]:
    """Every list of declared events with its path: the task's own, then each step's."""
    yield ("publishes_events",), model.publishes_events
    for position, step in enumerate(model.steps):
        yield ("steps", position, "publishes_events"), step.publishes_events


def declared_schemas(model: TemplateModel) -> Iterator[tuple[Path, JsonMapping]]:
    """Every JSON Schema of the template with its path."""
    found: list[tuple[Path, JsonMapping | None]] = [(("input_schema",), model.input_schema)]
    found += [(("steps", at, "result_schema"), step.result_schema) for at, step in enumerate(model.steps)]
    for path, declared in event_declarations(model):
        found += [((*path, at, "schema"), event.payload_schema) for at, event in enumerate(declared)]
    yield from ((path, schema) for path, schema in found if schema is not None)


def _schema_faults(model: TemplateModel) -> Iterator[Fault]:
    for path, schema in declared_schemas(model):
        yield from (fault.below(path) for fault in check_schema(schema))


def _output_faults(model: TemplateModel) -> Iterator[Fault]:
    names = {step.name for step in model.steps}
    for place, value in _leaves(model.output or {}, ("output",)):
        if not isinstance(value, str):
            yield Fault(place, "bad_path", "must be a result path, as `$.step_name.field`")
            continue
        try:
            (_, steps), *_ = output_paths({"": value})
        except PathError as error:
            yield Fault(place, "bad_path", f"{value[:80]!r} is no result path: {error}")
            continue
        if not steps:
            yield Fault(place, "bad_path", "`$` alone names no step; write `$.step_name`")
        elif steps[0] not in names:
            hint = did_you_mean(str(steps[0]), names, kind="steps")
            yield Fault(place, "unknown_step", f"there is no step `{str(steps[0])[:80]}`; {hint}")


def _leaves(value: object, place: Path) -> Iterator[tuple[Path, object]]:
    if isinstance(value, Mapping):
        for name, child in value.items():
            yield from _leaves(child, (*place, str(name)))
    else:
        yield place, value


def _over(limit: Limit, actual: int, path: Path, what: str | None = None) -> Fault:
    return Fault(path, limit.error, f"{limit.message(actual, what)}: {limit.way_out}")
