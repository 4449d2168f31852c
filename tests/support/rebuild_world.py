"""A small system in memory with a task in each condition, for what is asked of `verify-rebuild`."""

from __future__ import annotations

from typing import Any

from tasker_kafka.deploy.reading import Rebuilt, verify_rebuild
from tasker_kafka.schemas.identity import new_request_id
from tasker_kafka.schemas.plan import Lifecycle, RetryPolicy
from tasker_kafka.schemas.records import Dispatch, Failure, OperatorCommand
from tasker_kafka.schemas.words import OperatorAction, Outcome
from tasker_kafka.topics.plans import PlanStore
from tests.support.lane_world import LaneWorld, Owner, plan_of

__all__ = ["DEMO", "SHORT", "fails", "fails_first", "order", "saved", "succeeds", "varied", "verified"]

DEMO = plan_of(retry=RetryPolicy(max_attempts=2, backoff_base_ms=1, jitter=0.0))
SHORT = plan_of(
    "short",
    steps={"a": ()},
    retry=RetryPolicy(max_attempts=1),
    lifecycle=Lifecycle(retention_hours=1, failed_retention_hours=2),
)


async def verified(world: LaneWorld, **options: Any) -> Rebuilt:
    """What the command finds now."""
    plans = PlanStore(world.log, world.names)
    await plans.start()
    try:
        return await verify_rebuild(world.log, world.names, plans, **options)
    finally:
        await plans.stop()


def fails_first(dispatch: Dispatch) -> tuple[Outcome, Failure | None]:
    """The first attempt of each step fails."""
    if dispatch.attempt == 1:
        return Outcome.FAILURE, Failure(type="E", code="e")
    return Outcome.SUCCESS, None


def succeeds(dispatch: Dispatch) -> tuple[Outcome, Failure | None]:
    """Every attempt succeeds."""
    return Outcome.SUCCESS, None


def fails(dispatch: Dispatch) -> tuple[Outcome, Failure | None]:
    """Every attempt fails."""
    return Outcome.FAILURE, Failure(type="E", code="e")


async def order(world: LaneWorld, task_id: bytes, action: OperatorAction) -> None:
    """An operator's command."""
    body = OperatorCommand(command_id=new_request_id(), action=action, actor="ada", reason="a test")
    await world.command(task_id, body)


async def varied(owner: Owner, world: LaneWorld) -> dict[str, bytes]:
    """A task in each condition, decided and not yet saved: name → id."""
    tasks = {"done": await world.start(DEMO), "cancelled": await world.start(DEMO)}
    await owner.pump()
    await order(world, tasks["cancelled"], OperatorAction.CANCEL_TASK)
    await world.settle(owner)
    world.answer = fails
    tasks["failed"], tasks["reopened"] = await world.start(SHORT), await world.start(SHORT)
    await world.settle(owner)
    world.answer = succeeds
    await order(world, tasks["reopened"], OperatorAction.RETRY_TASK)
    await world.settle(owner)
    tasks["waiting"] = await world.start(DEMO)
    world.muted.add(tasks["waiting"])
    await world.settle(owner)
    return tasks


async def saved(owner: Owner, world: LaneWorld) -> None:
    """A checkpoint, and what it leaves behind."""
    await owner.flush()
    await owner.lane.checkpoint()
    await world.quiet()
