"""What a step declares, and the way from a payload to an event as declared: checked, masked, keyed."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import msgspec

from tasker_kafka.schemas.event_validators import DeclaredEvent, declared_events
from tasker_kafka.schemas.limits import EVENT_KEY_BYTES
from tasker_kafka.schemas.nearest import did_you_mean
from tasker_kafka.schemas.plan import Plan, PlanStep

from .errors import EventError
from .payloads import check_size
from .publishers import PublisherDefinition

__all__ = ["CheckedEvent", "StepEvents", "checked_event", "find_declared", "made_event", "undeclared"]


class CheckedEvent(msgspec.Struct, frozen=True):
    """A payload as it travels, and its ordering key."""

    payload: bytes
    key: str

    @property
    def size(self) -> int:
        """Bytes that count against a result's limit."""
        return len(self.payload) + len(self.key.encode())


class StepEvents(msgspec.Struct, frozen=True):
    """The events that one step of a plan declares, with what making them needs. Looked up once per step."""

    plan: Plan
    step: PlanStep
    declared: Mapping[str, DeclaredEvent]
    publishers: Mapping[str, PublisherDefinition]
    """By the name that declarations give."""

    @classmethod
    def of(cls, plan: Plan, step: PlanStep, publishers: Mapping[str, PublisherDefinition]) -> StepEvents:
        """Of a step of the plan; KeyError (the publisher's name) when a declared publisher is not there."""
        declared = declared_events(plan, step.name)
        wanted = {each.publisher for each in step.publishes_events if each.publisher is not None}
        return cls(plan, step, declared, {name: publishers[name] for name in sorted(wanted)})

    def find(self, name: str) -> DeclaredEvent:
        """The declaration of this name; EventError tells which there are."""
        return find_declared(name, self.declared, f"step {self.step.name}")

    def publisher_of(self, event: DeclaredEvent) -> PublisherDefinition | None:
        """The event's registered publisher."""
        name = event.declaration.publisher
        return None if name is None else self.publishers[name]


def find_declared(name: str, declared: Mapping[str, DeclaredEvent], where: str) -> DeclaredEvent:
    """The declaration of this name; EventError tells which there are."""
    found = declared.get(name)
    if found is None:
        raise undeclared(name, where, declared)
    return found


def undeclared(name: str, where: str, declared: Collection[str]) -> EventError:
    """The error of an event that `where` does not declare."""
    hint = did_you_mean(name, declared, kind="events")
    return EventError(
        f"{where} declares no event {name[:128]!r}; {hint}",
        code="undeclared_event",
        next_step="declare it under `publishes_events`, or correct the name",
    )


def checked_event(
    event: DeclaredEvent, payload: Any, *, default_key: str, key: str | None = None
) -> CheckedEvent:
    """The event of a decoded payload. EventError names event and path, never a value.

    key: replaces the declaration's path; default_key: where the declaration has none.
    """
    name = event.declaration.name
    violations = event.violations(payload)
    if violations:
        first, *rest = violations
        more = f" (and {len(rest)} more)" if rest else ""
        raise EventError(
            f"event {name}: {first}{more}",
            next_step="publish what the event's schema says, or give the changed schema a new version",
        )
    masked = event.masked(payload)
    data = msgspec.json.encode(masked)
    check_size(name, len(data))
    return CheckedEvent(data, _checked_key(event, masked, key, default_key))


def made_event(event: DeclaredEvent, payload: Any, *, default_key: str) -> CheckedEvent | None:
    """The event of a payload that nobody wrote for it; None when the schema does not fit."""
    found = event.made(payload, default_key=default_key)
    return None if found is None else CheckedEvent(*found)


def _checked_key(event: DeclaredEvent, payload: Any, given: str | None, default: str) -> str:
    declaration = event.declaration
    if given is None and declaration.key is None:
        return default
    key = event.key_of(payload) if given is None else given
    if key is None:
        raise EventError(
            f"event {declaration.name}: the payload has no text or number at its key's path {declaration.key}",
            next_step="add it to the payload (and to the schema's `required`), or change the declaration's `key`",
        )
    size = len(key.encode())
    if EVENT_KEY_BYTES.is_exceeded(size):
        text = EVENT_KEY_BYTES.message(size, f"event {declaration.name}: the key")
        raise EventError(f"{text}: {EVENT_KEY_BYTES.way_out}", code=EVENT_KEY_BYTES.error)
    return key
