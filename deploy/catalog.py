"""The catalogue of events: those of the engine, and those that published templates declare.

Both are read off what the engine itself goes by: system events off the tables of edges and meanings and the Avro schema
of transitions, domain events off the plans. So the catalogue cannot tell of an event that does not happen.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any, Literal

import msgspec

from tasker_kafka.schemas.avro_files import current
from tasker_kafka.schemas.plan import EventDeclaration, Plan
from tasker_kafka.schemas.plan_json import version_key
from tasker_kafka.schemas.words import (
    Cause,
    Delivery,
    EventCondition,
    StepStatus,
    TaskStatus,
    TransitionEvent,
)
from tasker_kafka.streams.domain.transitions import STEP_EDGES, STEP_NOTES, TASK_EDGES, TASK_NOTES
from tasker_kafka.streams.domain.vocabulary import STEP_MEANINGS, TASK_MEANINGS, Meaning

__all__ = [
    "DataField",
    "DataShape",
    "DomainEventEntry",
    "EdgeEntry",
    "SystemEventEntry",
    "domain_events",
    "system_events",
]

_State = TaskStatus | StepStatus
_Edge = tuple[_State | None, TransitionEvent, _State]


class EdgeEntry(msgspec.Struct, frozen=True):
    """From where to where an event leads. `from_state` None: it creates; equal states: no edge, only a note."""

    from_state: _State | None = msgspec.field(name="from")
    to_state: _State = msgspec.field(name="to")


class DataField(msgspec.Struct, frozen=True):
    """One field of what an event carries; `type` as in the Avro schema, in words."""

    name: str
    type: str
    description: str


class DataShape(msgspec.Struct, frozen=True):
    """What an event's transition may carry, beside from, to, event, at and cause, which every one has."""

    name: str
    description: str
    fields: tuple[DataField, ...]


class SystemEventEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One event of the engine. `name`: `task.<event>` or `step.<event>`."""

    name: str
    entity: Literal["task", "step"]
    event: TransitionEvent
    meaning: str
    edges: tuple[EdgeEntry, ...]
    causes: tuple[Cause, ...]
    data: tuple[DataShape, ...]
    """Shapes that it may carry; () for none."""
    is_data_optional: bool
    """It may also come without any of them."""


class DomainEventEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One event that a published template declares. `step` None: the task's own."""

    name: str
    version: str
    namespace: str
    template: str
    template_version: str
    step: str | None
    delivery: Delivery
    condition: EventCondition
    publisher: str | None
    """Handler-side publisher that makes it; None: the engine or `context.publish`."""
    key: str | None
    """JSON path of the ordering key; None: the task id."""
    description: str
    schema: dict[str, Any] | None


@cache
def system_events() -> tuple[SystemEventEntry, ...]:
    """Every event that a task and a step may take, in the order of the edges; the task's first."""
    tasks = [*TASK_EDGES, *((state, event, state) for state, event in TASK_NOTES)]
    steps = [*STEP_EDGES, *((state, event, state) for state, event in STEP_NOTES)]
    return (*_entries("task", tasks, TASK_MEANINGS), *_entries("step", steps, STEP_MEANINGS))


def domain_events(plans: Iterable[Plan]) -> tuple[DomainEventEntry, ...]:
    """Every declared event of these plans, by name, namespace, template and version."""
    found = [
        _domain_entry(plan, step, declared)
        for plan in plans
        for step, events in _declared(plan)
        for declared in events
    ]
    return tuple(
        sorted(
            found,
            key=lambda each: (
                each.name,
                each.namespace,
                each.template,
                version_key(each.template_version),
                each.step or "",
            ),
        )
    )


# ---------------------------------------------------------------------------------------------- inside


def _entries(
    entity: Literal["task", "step"], edges: Iterable[_Edge], meanings: Mapping[TransitionEvent, Meaning]
) -> list[SystemEventEntry]:
    by_event: dict[TransitionEvent, list[EdgeEntry]] = {}
    for before, event, after in edges:
        by_event.setdefault(event, []).append(EdgeEntry(before, after))
    return [
        SystemEventEntry(
            name=f"{entity}.{event}",
            entity=entity,
            event=event,
            meaning=meanings[event].text,
            edges=tuple(found),
            causes=meanings[event].causes,
            data=tuple(_shapes()[each.__name__] for each in meanings[event].data if each is not None),
            is_data_optional=None in meanings[event].data,
        )
        for event, found in by_event.items()
    ]


@cache
def _shapes() -> dict[str, DataShape]:
    """The shapes of transitions' data, by name, as the Avro schema tells them."""
    (transition,) = _records(current()["Transitions"], "Transition")
    (data,) = (each for each in transition["fields"] if each["name"] == "data")
    return {each["name"]: _shape(each) for each in data["type"] if isinstance(each, dict)}


def _records(node: Any, name: str) -> list[dict[str, Any]]:
    """Every definition of this name in a schema."""
    if isinstance(node, list):
        return [found for each in node for found in _records(each, name)]
    if not isinstance(node, dict):
        return []
    own = [node] if node.get("name") == name and node.get("type") == "record" else []
    return own + [found for each in node.values() for found in _records(each, name)]


def _shape(record: dict[str, Any]) -> DataShape:
    fields = tuple(
        DataField(each["name"], _type_text(each["type"]), each.get("doc", "")) for each in record["fields"]
    )
    return DataShape(record["name"], record.get("doc", ""), fields)


def _type_text(kind: Any) -> str:
    """A type in words: `string`, `long (timestamp-millis)`, `null or Id16`, `list of string`."""
    if isinstance(kind, str):
        return kind
    if isinstance(kind, list):
        return " or ".join(_type_text(each) for each in kind)
    if kind["type"] == "array":
        return f"list of {_type_text(kind['items'])}"
    if "logicalType" in kind:
        return f"{_type_text(kind['type'])} ({kind['logicalType']})"
    return str(kind.get("name", kind["type"]))


def _declared(plan: Plan) -> list[tuple[str | None, tuple[EventDeclaration, ...]]]:
    return [(None, plan.publishes_events), *((step.name, step.publishes_events) for step in plan.steps)]


def _domain_entry(plan: Plan, step: str | None, declared: EventDeclaration) -> DomainEventEntry:
    return DomainEventEntry(
        name=declared.name,
        version=declared.version,
        namespace=plan.namespace,
        template=plan.name,
        template_version=plan.version,
        step=step,
        delivery=declared.delivery,
        condition=declared.condition,
        publisher=declared.publisher,
        key=declared.key,
        description=declared.description,
        schema=declared.schema,
    )
