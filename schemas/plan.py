"""A compiled template: the only thing about a task that `decide` may consult.

A plan is immutable and named by the hash of its canonical JSON; a task runs on the plan it was created
with. Compiling (`schemas.template`) fills every default, so that no setting of a process can matter later.
Times are in the unit that the field's name says.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

import msgspec

from .words import Delivery, EventCondition, Identity

__all__ = ["EventDeclaration", "Lifecycle", "Plan", "PlanStep", "RetryPolicy"]


class RetryPolicy(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """When a failed attempt is tried again."""

    retryable: bool = True
    max_attempts: int = 3
    """Attempts in all, 1–100; 0 reads as 1."""
    backoff: str = "exponential"
    """exponential, linear, fibonacci or none."""
    backoff_base_ms: int = 1000
    max_backoff_ms: int = 30000
    jitter: float = 0.1
    """Share of the delay, 0–1, by which it may differ either way."""
    non_retryable: tuple[str, ...] = ()
    """Error codes that are never retried."""


class Lifecycle(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What time does to a task."""

    max_duration_ms: int | None = None
    on_blocked: str = "fail"
    """fail or wait."""
    stale_after_ms: int | None = None
    staleness_action: str = "none"
    """dlq, error or none."""
    retention_hours: int = 24
    failed_retention_hours: int = 720


class EventDeclaration(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One domain event that a step or the task may publish."""

    name: str
    delivery: Delivery
    condition: EventCondition
    version: str = "1.0"
    key: str | None = None
    """JSON path of the ordering key; None is the task id."""
    publisher: str | None = None
    description: str = ""
    schema: dict[str, Any] | None = None


class PlanStep(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One node of the DAG."""

    name: str
    handler: str
    queue: str
    parents: tuple[str, ...] = ()
    """Names of direct dependencies, in the template's order."""
    config: dict[str, Any] = {}
    retry: RetryPolicy = RetryPolicy()
    timeout_ms: int = 60000
    queue_timeout_ms: int | None = None
    heartbeat_timeout_ms: int = 30000
    result_schema: dict[str, Any] | None = None
    publishes_events: tuple[EventDeclaration, ...] = ()
    description: str = ""


class Plan(msgspec.Struct, frozen=True, dict=True, forbid_unknown_fields=True):
    """A template with every default filled in. Steps stand in the template's order."""

    namespace: str
    name: str
    version: str
    steps: tuple[PlanStep, ...]
    identity: Identity = Identity.ALWAYS_UNIQUE
    failure_policy: str = "continue"
    """continue or fail_fast."""
    max_parallel_steps: int | None = None
    lifecycle: Lifecycle = Lifecycle()
    inline_limit: int = 4096
    """Bytes up to which a value travels inline; larger ones go to `payloads`."""
    input_schema: dict[str, Any] | None = None
    output: dict[str, Any] | None = None
    """Name → result path (`$.step.field`); None: the results of the leaf steps."""
    publishes_events: tuple[EventDeclaration, ...] = ()
    description: str = ""
    metadata: dict[str, Any] = {}
    environment: str | msgspec.UnsetType = msgspec.UNSET
    """Deployment environment that its events name. Only in plans with events, and not in the JSON of others: their
    hashes stay as they were."""

    @property
    def deployment(self) -> str:
        """The environment as events say it; empty if the plan says none."""
        return self.environment if isinstance(self.environment, str) else ""

    @cached_property
    def index(self) -> dict[str, int]:
        """Step name → position."""
        return {step.name: position for position, step in enumerate(self.steps)}

    @cached_property
    def children(self) -> tuple[tuple[int, ...], ...]:
        """Positions of each step's direct children, in the template's order."""
        found: list[list[int]] = [[] for _ in self.steps]
        for position, step in enumerate(self.steps):
            for parent in step.parents:
                found[self.index[parent]].append(position)
        return tuple(tuple(each) for each in found)

    @cached_property
    def parents(self) -> tuple[tuple[int, ...], ...]:
        """Positions of each step's direct parents."""
        return tuple(tuple(self.index[name] for name in step.parents) for step in self.steps)

    @cached_property
    def leaves(self) -> tuple[str, ...]:
        """Names of the steps without children."""
        return tuple(step.name for step, below in zip(self.steps, self.children, strict=True) if not below)

    @cached_property
    def queues(self) -> tuple[str, ...]:
        """Every queue that the steps use, sorted."""
        return tuple(sorted({step.queue for step in self.steps}))

    @cached_property
    def has_events(self) -> bool:
        """The task or one of its steps declares domain events."""
        return bool(self.publishes_events) or any(step.publishes_events for step in self.steps)

    @cached_property
    def is_untimed(self) -> bool:
        """No deadline, staleness or queue timeout: after not_before only waiting and running steps have timers."""
        lifecycle = self.lifecycle
        is_stale_never = lifecycle.stale_after_ms is None or lifecycle.staleness_action == "none"
        return (
            lifecycle.max_duration_ms is None
            and is_stale_never
            and all(step.queue_timeout_ms is None for step in self.steps)
        )

    @cached_property
    def hash(self) -> bytes:
        """The plan's name: 32 bytes, SHA-256 of its canonical JSON."""
        from .identity import plan_hash

        return plan_hash(self)
