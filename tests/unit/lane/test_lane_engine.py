"""The way of a task through one engine lane, step by step."""

from __future__ import annotations

from tasker_kafka.schemas.state import Stub
from tasker_kafka.schemas.words import TaskStatus
from tests.support.lane_world import LaneWorld, plan_of, virtual


@virtual
async def test_a_task_runs_to_its_end() -> None:
    plan = plan_of()
    world = await LaneWorld(plan).open()
    owner = await world.owner()
    task_id = await world.start(plan)
    await world.settle(owner)
    stub = owner.lane.table.get(task_id)
    assert isinstance(stub, Stub)
    assert stub.outcome is TaskStatus.COMPLETE
    assert [each.step for each in world.dispatched] == ["one", "two"]
    assert await owner.lane.checkpoint() == owner.lane.next_command
    assert await owner.lane.checkpoint() is None
    await world.close()
