"""A declared event, ready for use: its schema compiled, its key's path parsed, what it masks known.

Whoever makes an event, be it a worker, the engine or other business code, holds its payload against the declaration
with this one class, so an event that is not as declared does not exist.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from .limits import EVENT_KEY_BYTES
from .paths import MISSING, PathSteps, follow, parse_path
from .plan import EventDeclaration, Plan
from .redaction import DEFAULT_MASK
from .schema_check import JsonSchema, Violation, schema_for
from .schema_walk import REDACT_KEYWORD, mask_declared, subschemas

__all__ = ["DeclaredEvent", "declared_events", "is_masked"]

_MOST_KEPT: Final = 10_000


class DeclaredEvent:
    """One declaration and what follows from it. Immutable; may be used from several threads."""

    __slots__ = ("_key", "_masks", "_schema", "declaration")

    def __init__(self, declaration: EventDeclaration) -> None:
        self.declaration = declaration
        schema = declaration.schema
        self._schema: JsonSchema | None = None if schema is None else schema_for(schema)
        self._key: PathSteps | None = None if declaration.key is None else parse_path(declaration.key)
        self._masks = schema is not None and any(
            each.get(REDACT_KEYWORD) is True for _, each in subschemas(schema)
        )

    def fits(self, payload: Any) -> bool:
        """Whether a decoded payload is as the schema says. Everything fits a declaration without a schema."""
        return self._schema is None or self._schema.is_satisfied_by(payload)

    def violations(self, payload: Any) -> tuple[Violation, ...]:
        """Why it does not fit, each with its path below `payload`; never with a value."""
        return () if self._schema is None else self._schema.violations(payload, root="payload")

    def masked(self, payload: Any) -> Any:
        """The payload as it travels: what the schema marks with `x-redact: true` is replaced by the mask.

        Always the same text, whatever the process's settings say: what an event holds must not depend on them.
        """
        if not self._masks or self._schema is None:
            return payload
        return mask_declared(self._schema.schema, payload, DEFAULT_MASK)

    def made(self, payload: Any, *, default_key: str) -> tuple[bytes, str] | None:
        """Payload (JSON, masked) and key of an event that nobody wrote; None when the schema does not fit.

        Where the payload has no usable key it is `default_key`, because nobody is there to be told.
        """
        if not self.fits(payload):
            return None
        masked = self.masked(payload)
        key = self.key_of(masked)
        if key is None or EVENT_KEY_BYTES.is_exceeded(len(key.encode())):
            key = default_key
        return msgspec.json.encode(masked), key

    def key_of(self, payload: Any) -> str | None:
        """The ordering key in a payload (masked: a secret is no key). None: the payload has none at that place.

        Text is the key itself; numbers and booleans are written as in JSON.
        """
        if self._key is None:
            return None
        value = follow(self._key, payload)
        if value is MISSING or value is None or isinstance(value, (dict, list)):
            return None
        return value if isinstance(value, str) else msgspec.json.encode(value).decode()


_known: dict[tuple[bytes, str | None], dict[str, DeclaredEvent]] = {}


def declared_events(plan: Plan, step: str | None = None) -> dict[str, DeclaredEvent]:
    """The events that a step of the plan declares (None: the task itself), by name. Compiled once in a process."""
    place = (plan.hash, step)
    found = _known.get(place)
    if found is None:
        declared = plan.publishes_events if step is None else plan.steps[plan.index[step]].publishes_events
        found = {each.name: DeclaredEvent(each) for each in declared}
        if len(_known) >= _MOST_KEPT:
            _known.clear()
        _known[place] = found
    return found


def is_masked(schema: dict[str, Any], path: PathSteps) -> bool:
    """Whether what stands at a path of a payload is masked. Positions above 100 are taken for the 100th."""
    leaf: Any = "?"
    short = tuple(min(step, 100) if isinstance(step, int) else step for step in path)
    value = leaf
    for step in reversed(short):
        value = {step: value} if isinstance(step, str) else [*[None] * step, value]
    return bool(follow(short, mask_declared(schema, value, "")) != leaf)
