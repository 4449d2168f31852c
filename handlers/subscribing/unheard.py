"""Which subscriptions wait for events that nobody has declared: most often a misspelt name.

It is a warning, not an error: the template may be published tomorrow, and programs publish what no template declares.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from tasker_kafka.schemas.event_patterns import parse_pattern
from tasker_kafka.schemas.nearest import did_you_mean
from tasker_kafka.schemas.plan import Plan

from .subscription import SubscriberSpec

__all__ = ["unheard"]


def unheard(specs: Iterable[SubscriberSpec], plans: Iterable[Plan]) -> list[str]:
    """A line for each pattern that fits no event these plans declare, with the nearest name.

    Groups that read topics of others only are left out, and so is everything while no plan declares an event.
    """
    declared: dict[str, set[str]] = {}
    for plan in plans:
        events = [*plan.publishes_events, *(each for step in plan.steps for each in step.publishes_events)]
        declared.setdefault(plan.namespace, set()).update(each.name for each in events)
    if not any(declared.values()):
        return []
    found: list[str] = []
    for spec in specs:
        if spec.namespaces or not spec.topics:
            heard = spec.namespaces or tuple(declared)
            found += _of_group(spec, set().union(*(declared.get(each, set()) for each in heard)))
    return found


def _of_group(spec: SubscriberSpec, names: set[str]) -> Iterator[str]:
    for subscription in spec.subscriptions:
        for pattern in map(parse_pattern, subscription.patterns):
            if any(map(pattern.matches, names)):
                continue
            hint = f"; {did_you_mean(pattern.text, names, kind='events')}" if pattern.is_exact else ""
            yield (
                f"group {spec.group}, {subscription.name}: no published template declares an event "
                f"{pattern.text}{hint}"
            )
