"""What bad input has broken once, beside the regressions that lie with the rules they are about.

| what | its test |
|---|---|
| an event that no topic takes stopped its partition | tests/unit/domain/test_outputs.py |
| a task of the id of no task was forgotten by the next owner | tests/unit/lane/test_lane_wire.py, test_lane_intake.py |
| a strange heartbeat made a healthy handler count as lost | tests/unit/lane/test_lane_timers.py |
| a trace header, a StartTask, a compressed request made records too large | tests/unit/lane, test_starting.py |
| a header whose name is no text stopped every reader of its partition | tests/unit/topics/test_forgiving_records.py |
| a dispatch of a schema that nobody knows ended its worker, again and again | test_fuzz_worker.py |
| a state of 1,000 steps could outgrow its topic | test_fuzz_limits.py |
| what is no JSON, no time and no place could not be shown | here |
"""

from __future__ import annotations

import json

import pytest

from tasker_kafka.deploy.reading import jsonable, read_report, time_text
from tasker_kafka.schemas.errors import DecodeError, TaskerError
from tasker_kafka.schemas.records import PayloadRef
from tasker_kafka.topics.client import TaskClient
from tasker_kafka.topics.memory import MemoryLog, run_virtual
from tasker_kafka.topics.names import TopicNames
from tasker_kafka.topics.payloads import Payloads
from tasker_kafka.topics.plans import PlanStore
from tests.support.lane_world import LaneWorld, plan_of

NO_JSON = (b"{", b"\xff", b"[" * 100_000, b"")


@pytest.mark.parametrize("result", NO_JSON, ids=[each[:4].hex() or "empty" for each in NO_JSON])
def test_a_result_that_is_no_json_is_named_not_raised(result: bytes) -> None:
    run_virtual(read_back(result[:4_000]))


async def read_back(result: bytes) -> None:
    world = await LaneWorld(plan_of(steps={"one": ()})).open()
    owner = await world.owner()
    task_id = await world.start(world.published[0])
    await owner.pump()
    await owner.flush()
    [dispatch] = await world.dispatches()
    await world.finish(dispatch, result=result, metadata=result)
    await owner.pump()
    await owner.flush()
    plans = PlanStore(world.log, world.names)
    await plans.start()
    report, _ = await read_report(world.log, world.names, plans, task_id, from_beginning=True)
    await plans.stop()
    assert report.steps[0].result == f"({len(result)} bytes that are no JSON)"
    json.dumps(jsonable(report))
    async with TaskClient(MemoryLog(world.cluster), world.names) as client:
        handle = await client.task(task_id)
        with pytest.raises(TaskerError, match="result of step one is no JSON"):
            await handle.result(timeout=5)
    await world.close()


@pytest.mark.parametrize("place", [(99, 0), (-1, 0), (0, -1), (1 << 30, 1 << 60)])
def test_a_reference_to_nowhere_is_an_error_that_is_not_tried_again(place: tuple[int, int]) -> None:
    async def fetch() -> None:
        world = await LaneWorld(plan_of()).open()
        with pytest.raises(DecodeError, match="no payload can lie at") as caught:
            await Payloads(world.log, TopicNames()).fetch(PayloadRef(*place, 1, bytes(32)))
        assert not caught.value.retryable
        await world.close()

    run_virtual(fetch())


@pytest.mark.parametrize("at", [(1 << 63) - 1, -(1 << 63), 253_402_300_800_000, 1 << 53])
def test_a_time_without_a_year_is_shown_as_it_is(at: int) -> None:
    assert time_text(at) == f"{at} ms"
