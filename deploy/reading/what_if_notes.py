"""What a replay under a changed plan cannot know, told from the two plans. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from tasker_kafka.schemas.plan import Plan, PlanStep

__all__ = ["ALWAYS", "unknowns"]

ALWAYS = (
    "Run times and waits for a worker are those recorded: with other steps at once the queues would have moved.",
    "Results are those recorded, whatever a handler would have made of other inputs; operators act when they acted.",
)


def unknowns(old: Plan, new: Plan) -> Iterator[str]:
    """Sentences about the differences of the plans of which the record says nothing."""
    for step in new.steps:
        before = old.index.get(step.name)
        if before is None:
            yield f"{step.name}: a step of that name is not recorded; its attempts are assumed"
        else:
            yield from _of_step(old.steps[before], step)
    gone = [step.name for step in old.steps if step.name not in new.index]
    if gone:
        yield f"{', '.join(gone)}: no such step any more; what was recorded of it is left out"
    if old.input_schema != new.input_schema:
        yield "input_schema: contexts are checked as they were accepted, with the defaults of then"
    if old.identity is not new.identity:
        yield "identity: the tasks are taken as they were; which requests would have been one task is not asked"


def _of_step(old: PlanStep, new: PlanStep) -> Iterator[str]:
    if old.handler != new.handler:
        yield f"{new.name}: the results are those of handler {old.handler}, not of {new.handler}"
    if old.config != new.config:
        yield f"{new.name}: the results are those of the configuration of then"
    if set(old.parents) != set(new.parents):
        yield f"{new.name}: its handler would have had the results of other parents; its outcome is the recorded one"
    if old.queue != new.queue:
        yield f"{new.name}: it waited in queue {old.queue}; how long it would have in {new.queue} is not known"
    if new.heartbeat_timeout_ms < old.heartbeat_timeout_ms:
        yield f"{new.name}: heartbeats are not in the log; a shorter heartbeat_timeout_seconds is not applied"
    if new.timeout_ms > old.timeout_ms or _is_longer(new.queue_timeout_ms, old.queue_timeout_ms):
        yield f"{new.name}: how an attempt would have ended that ran out of time is assumed"
    if new.result_schema != old.result_schema and new.result_schema is not None:
        yield f"{new.name}: results that lie in payloads are not checked against the changed result_schema"


def _is_longer(one: int | None, other: int | None) -> bool:
    return other is not None and (one is None or one > other)
