"""`as-of` at every offset of a random history is the fold to that offset."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasker_kafka.deploy.reading.as_of import report_as_of
from tasker_kafka.deploy.reading.as_of_moments import parse_moment
from tasker_kafka.schemas.codec import codec
from tasker_kafka.schemas.errors import NotFoundError
from tasker_kafka.schemas.records import OWNER_KEY, OwnerMarker
from tasker_kafka.schemas.state import TaskState
from tasker_kafka.streams.domain import evolve
from tasker_kafka.topics.headers import for_owner
from tasker_kafka.topics.log import TopicDescription, TopicPartition, Write
from tasker_kafka.topics.memory import MemoryCluster, MemoryLog, run_virtual
from tasker_kafka.topics.names import TopicNames
from tasker_kafka.topics.plans import PlanStore, publish
from tests.support.examples import examples
from tests.support.task_stories import next_bodies, plans
from tests.support.tasks import TASK_ID, Rig

NAMES = TopicNames()


def folded(rig: Rig, count: int) -> TaskState | None:
    """The state after the first `count` records, transition by transition."""
    state: TaskState | None = None
    for record in rig.records[:count]:
        for transition in record.transitions if record.seq else ():
            state = evolve(state, transition, rig.plan)
    return state


@pytest.mark.slow
@given(st.data())
@settings(max_examples=examples(40))
def test_every_offset(data: st.DataObject) -> None:
    rig = Rig(data.draw(plans(max_steps=5)))
    rig.send(rig.start_task())
    for _ in range(data.draw(st.integers(0, 15))):
        for body in data.draw(next_bodies(rig)):
            rig.send(body, after_ms=300)
    run_virtual(compare(rig))


async def compare(rig: Rig) -> None:
    cluster = MemoryCluster()
    log = MemoryLog(cluster)
    for name in (NAMES.templates, NAMES.transitions, NAMES.task_state, NAMES.payloads, NAMES.workers):
        cluster.create(TopicDescription(name, 1, 1, {}))
    await publish(log, NAMES, [rig.plan])
    store = cluster.store(TopicPartition(NAMES.transitions, 0))
    marker = codec.encode(OwnerMarker(at=0, instance="o", version="1"))
    store.append([written(OWNER_KEY, marker)], now_ms=0, append_time=True)
    for record in rig.records:
        store.append([written(TASK_ID, codec.encode(record))], now_ms=record.at, append_time=True)
    plan_store = PlanStore(log, NAMES)
    await plan_store.start()
    for offset in range(len(rig.records) + 2):
        expected = folded(rig, max(0, offset - 1))
        try:
            found = await report_as_of(log, NAMES, plan_store, TASK_ID, parse_moment(f"@{offset}"))
        except NotFoundError:
            assert expected is None
            continue
        assert expected is not None
        assert found.report.state is expected.state
        assert [(each.name, each.state, each.attempts) for each in found.report.steps] == [
            (each.name, each.state, each.attempt) for each in expected.steps
        ]
        assert found.records_after == sum(bool(each.seq) for each in rig.records[offset - 1 :])
    await plan_store.stop()
    await log.close()


def written(key: bytes, value: bytes) -> Write:
    return Write(NAMES.transitions, key, value, for_owner(0))
