"""Does a handler fit the step that names it? Asked by `tasker template validate` and when a worker starts."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

from tasker_kafka.schemas.plan import PlanStep

from .definition import HandlerDefinition

__all__ = ["Finding", "check_handler"]


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
