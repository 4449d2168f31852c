"""Runs a plan's handlers one after the other, each in the way a worker would, without log, engine and worker."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from tasker_kafka.deploy.examples import TEMPLATES
from tasker_kafka.deploy.template_files import load_plans
from tasker_kafka.handlers import HandlerRegistry
from tasker_kafka.handlers.calls import StepCall
from tasker_kafka.handlers.execution import run_async, run_plain
from tasker_kafka.handlers.results import CallEnd, Completed
from tasker_kafka.schemas.plan import Plan, PlanStep
from tasker_kafka.schemas.records import Failure, TaskRequest

TASK_ID = uuid.UUID(int=7).bytes


def example_plans() -> dict[str, Plan]:
    """The examples' plans by `namespace/name`."""
    return {
        f"{plan.namespace}/{plan.name}": plan for plans in load_plans([TEMPLATES]).values() for plan in plans
    }


@dataclass
class Run:
    """What came of a run; it plays the services that handlers ask."""

    results: dict[str, bytes] = field(default_factory=dict[str, bytes])
    failures: dict[str, list[Failure]] = field(default_factory=dict[str, list[Failure]])
    requests: list[TaskRequest] = field(default_factory=list[TaskRequest])
    events: list[tuple[str, bytes]] = field(default_factory=list[tuple[str, bytes]])
    is_cancelled: bool = False

    def codes(self) -> dict[str, tuple[str, ...]]:
        """Step → error codes of its failed attempts."""
        return {step: tuple(each.code for each in found) for step, found in self.failures.items()}

    def decoded(self) -> dict[str, Any]:
        """The results as JSON values."""
        return {step: msgspec.json.decode(data) for step, data in self.results.items()}

    def heartbeat(self, progress: bytes | None) -> None:
        """Nobody waits for it."""

    async def submit(self, request: TaskRequest) -> None:
        """Keep the request."""
        self.requests.append(request)

    def submit_and_wait(self, request: TaskRequest) -> None:
        """Keep the request."""
        self.requests.append(request)

    async def publish(self, name: str, payload: bytes) -> None:
        """Keep the event."""
        self.events.append((name, payload))

    def publish_and_wait(self, name: str, payload: bytes) -> None:
        """Keep the event."""
        self.events.append((name, payload))


async def run_plan(
    plan: Plan,
    registry: HandlerRegistry,
    context: Mapping[str, Any],
    *,
    given: Mapping[str, Any] | None = None,
    task_id: bytes = TASK_ID,
) -> Run:
    """Run the steps in the template's order, until one fails for good. `given`: results set by hand."""
    run = Run(results={step: msgspec.json.encode(value) for step, value in (given or {}).items()})
    for step in plan.steps:
        if step.name in run.results:
            continue
        for attempt in range(1, step.retry.max_attempts + 1):
            end = await call_step(step, registry, context, run, attempt=attempt, task_id=task_id)
            if isinstance(end, Completed):
                run.results[step.name] = end.result
                break
            run.failures.setdefault(step.name, []).append(end.failure)
            if not end.failure.retryable:
                return run
    return run


async def call_step(
    step: PlanStep,
    registry: HandlerRegistry,
    context: Mapping[str, Any],
    run: Run,
    *,
    attempt: int = 1,
    task_id: bytes = TASK_ID,
) -> CallEnd:
    """One attempt of one step, on the results so far."""
    definition = registry.get(step.handler)
    assert definition is not None, f"no handler {step.handler}"
    call = StepCall(
        handler=step.handler,
        task_id=task_id,
        life=0,
        step=step.name,
        attempt=attempt,
        is_last_attempt=attempt == step.retry.max_attempts,
        correlation_id="story",
        context=msgspec.json.encode(context),
        inputs={parent: run.results.get(parent) for parent in step.parents},
        config=dict(step.config),
    )
    if definition.is_async:
        return await run_async(definition, call, run)
    return run_plain(definition, call, run)
