"""Holds an edited event to what its publisher has declared, before it is redriven.

Subscribers were written for the declared schema; an edit that does not fit would be the next dead letter, or worse, be
taken for what it is not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from tasker_kafka.schemas.codec import Codec
from tasker_kafka.schemas.codec import codec as default_codec
from tasker_kafka.schemas.errors import DecodeError
from tasker_kafka.schemas.event_validators import DeclaredEvent
from tasker_kafka.schemas.json_strict import decode_json
from tasker_kafka.schemas.limits import RECORD_BYTES
from tasker_kafka.schemas.plan import Plan
from tasker_kafka.schemas.records import DomainEvent
from tasker_kafka.topics.log import Record

from .edits import EditFault

__all__ = ["EditCheck", "edit_check"]

EditCheck = Callable[[Record, Record], None]
"""Given the original and the edited record; raises EditFault when it is not to be redriven so."""


def edit_check(plans: Iterable[Plan], *, codec: Codec = default_codec) -> EditCheck:
    """The check by what these templates declare. What none of them declares, in its version, is not checked."""
    declared = {
        (plan.namespace, each.name, each.version): DeclaredEvent(each)
        for plan in plans
        for events in (plan.publishes_events, *(step.publishes_events for step in plan.steps))
        for each in events
        if each.schema is not None
    }

    def check(original: Record, edited: Record) -> None:
        try:
            event = codec.decode(edited.value, DomainEvent)
            payload = decode_json(event.payload, max_bytes=RECORD_BYTES.maximum, what="the payload")
        except DecodeError:
            return  # no event of Tasker's, so nobody here has declared it
        known = declared.get((event.namespace, event.name, event.version))
        if known is None:
            return
        faults = [*known.violations(payload)]
        masked = known.masked(payload)
        if faults and masked is not payload and masked == payload:
            # The mask stands where the schema wants another value; it did so before the edit.
            former = _violations_of(original, known, codec)
            faults = [each for each in faults if each not in former]
        if faults:
            more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
            raise EditFault(
                f"it is not as {event.name} {event.version} is declared: {faults[0]}{more}",
                next_step="give what the declared schema says, or --force",
            )

    return check


def _violations_of(original: Record, known: DeclaredEvent, codec: Codec) -> tuple[object, ...]:
    try:
        event = codec.decode(original.value, DomainEvent)
        payload = decode_json(event.payload, max_bytes=RECORD_BYTES.maximum, what="the payload")
    except DecodeError:
        return ()
    return known.violations(payload)
