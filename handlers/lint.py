"""Does a handler fit the step that names it? Asked by `tasker template validate` and when a worker starts."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Literal

from tasker_kafka.schemas.errors import ConfigurationError
from tasker_kafka.schemas.nearest import did_you_mean
from tasker_kafka.schemas.plan import Plan, PlanStep

from .definition import HandlerDefinition
from .registry import HandlerRegistry

__all__ = ["Finding", "check_handler", "check_publishers", "missing_publishers"]


@dataclass(frozen=True, slots=True)
class Finding:
    """What does not fit. An `error` fails every call; a `warning` fails calls after a bypass or a manual resolve."""

    severity: Literal["error", "warning"]
    message: str


def check_handler(
    step: PlanStep, handler: HandlerDefinition, *, bypassed: Collection[str] = ()
) -> list[Finding]:
    """Findings about one step and its handler, errors first.

    `bypassed`: steps that requests of this template are known to bypass; a parameter that needs their result is
    an error. For any other parent it is a warning, since any step may be bypassed or resolved by hand.
    """
    found: list[Finding] = []
    for parameter in handler.binding.parameters:
        if parameter.step is None:
            continue
        where = f"step {step.name}: parameter {parameter.name} of handler {handler.name}"
        if parameter.step not in step.parents:
            known = ", ".join(step.parents) or "none"
            found.append(
                Finding(
                    "error",
                    f"{where} takes the result of {parameter.step!r}, no direct parent (parents: {known})",
                )
            )
        elif not parameter.accepts_absence:
            severity: Literal["error", "warning"] = "error" if parameter.step in bypassed else "warning"
            found.append(
                Finding(
                    severity,
                    f"{where} needs a result of {parameter.step}: it fails when that step is bypassed",
                )
            )
    return sorted(found, key=lambda each: each.severity)


def missing_publishers(step: PlanStep, registry: HandlerRegistry) -> list[tuple[int, str]]:
    """The step's events whose publisher is not registered: position in `publishes_events`, and what to say."""
    found = []
    for position, event in enumerate(step.publishes_events):
        name = event.publisher
        if name is not None and name not in registry.publishers:
            hint = did_you_mean(name, registry.publishers, kind="publishers")
            found.append(
                (position, f"event {event.name} names the publisher {name!r}, which is not here; {hint}")
            )
    return found


def check_publishers(plans: Iterable[Plan], queues: Collection[str], registry: HandlerRegistry) -> None:
    """ConfigurationError when a step that a worker of these queues runs names an event publisher it does not have."""
    for plan in plans:
        for step in plan.steps:
            if step.queue not in queues or step.handler not in registry:
                continue
            for _, text in missing_publishers(step, registry):
                raise ConfigurationError(
                    f"template {plan.namespace}/{plan.name}@{plan.version}, step {step.name}: {text}",
                    next_step='decorate a function with @event_publisher("name") in a module that the worker loads',
                )
