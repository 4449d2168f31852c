"""What the worker needs to know about a step to run it: looked up once per plan and step."""

from __future__ import annotations

from typing import Protocol

import msgspec

from tasker_kafka.handlers.definition import HandlerDefinition
from tasker_kafka.handlers.publishing.declared import StepEvents
from tasker_kafka.handlers.registry import HandlerRegistry
from tasker_kafka.schemas.errors import SchemaUnknown
from tasker_kafka.schemas.plan import Plan, PlanStep
from tasker_kafka.schemas.records import Dispatch
from tasker_kafka.schemas.schema_check import JsonSchema, schema_for

from .settings import WorkerSettings

__all__ = ["Plans", "PreparedStep", "Steps"]

_MOST_KEPT = 10_000


class Plans(Protocol):
    """The published plans (`topics.plans.PlanStore`)."""

    def get(self, plan_hash: bytes) -> Plan | None:
        """The plan of this hash, if it has been read. SchemaUnknown when a newer release wrote it."""
        ...

    def all(self) -> list[Plan]:
        """Every published plan."""
        ...

    async def catch_up(self) -> None:
        """Read the templates to their present end."""
        ...


class PreparedStep(msgspec.Struct, frozen=True):
    """A step with its handler, its schema compiled and its times in seconds."""

    step: PlanStep
    handler: HandlerDefinition
    schema: JsonSchema | None
    inline_limit: int
    timeout_seconds: float
    heartbeat_seconds: float
    events: StepEvents | None = None
    """None: it declares no domain events."""


class Steps:
    """Prepared steps by plan and name."""

    def __init__(self, plans: Plans, registry: HandlerRegistry, settings: WorkerSettings) -> None:
        self._plans = plans
        self._registry = registry
        self._settings = settings
        self._prepared: dict[tuple[bytes, str, str], PreparedStep] = {}

    def find(self, dispatch: Dispatch) -> PreparedStep | str:
        """The step of a dispatch; a text says why this worker cannot run it."""
        key = (dispatch.plan_hash, dispatch.step, dispatch.handler)
        known = self._prepared.get(key)
        if known is not None:
            return known
        handler = self._registry.get(dispatch.handler)
        if handler is None:
            return f"this worker has no handler {dispatch.handler!r}"
        try:
            plan = self._plans.get(dispatch.plan_hash)
        except SchemaUnknown as error:
            return f"this worker cannot read the plan: {error.message}"
        if plan is None:
            return f"this worker has not read the plan {dispatch.plan_hash.hex()}"
        place = plan.index.get(dispatch.step)
        if place is None:
            return f"template {plan.namespace}/{plan.name}@{plan.version} has no step {dispatch.step!r}"
        if len(self._prepared) >= _MOST_KEPT:
            self._prepared.clear()
        try:
            prepared = self._prepare(plan, plan.steps[place], handler)
        except KeyError as error:
            return f"this worker has no event publisher {error.args[0]!r}"
        self._prepared[key] = prepared
        return prepared

    async def find_after_reading(self, dispatch: Dispatch) -> PreparedStep | str:
        """As `find`, after the templates were read to their end if that may help."""
        if dispatch.handler in self._registry:
            await self._plans.catch_up()
        return self.find(dispatch)

    def _prepare(self, plan: Plan, step: PlanStep, handler: HandlerDefinition) -> PreparedStep:
        seconds = step.timeout_ms / 1000
        if handler.time_limit_seconds is not None:
            seconds = min(seconds, handler.time_limit_seconds)
        return PreparedStep(
            step=step,
            handler=handler,
            schema=None if step.result_schema is None else schema_for(step.result_schema),
            inline_limit=plan.inline_limit,
            timeout_seconds=seconds,
            heartbeat_seconds=min(self._settings.heartbeat_seconds, step.heartbeat_timeout_ms / 3000),
            events=StepEvents.of(plan, step, self._registry.publishers) if step.publishes_events else None,
        )
