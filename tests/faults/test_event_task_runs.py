"""Events that steps publish, while workers, orchestrators and subscribers are killed: each once, and handled."""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter
from pathlib import Path

import pytest

from tasker_kafka.schemas.codec import codec
from tasker_kafka.schemas.identity import new_request_id
from tasker_kafka.schemas.plan import Plan
from tasker_kafka.schemas.records import TaskRequest
from tasker_kafka.schemas.template import Event, Retry, Template
from tasker_kafka.topics.log import Write
from tasker_kafka.topics.names import TopicNames
from tests.checker import RawLog, read_ledger, read_raw
from tests.checker.wire import Wire
from tests.faults.event_faults import FAULTS
from tests.faults.event_handlers import GROUPS
from tests.faults.event_judging import judge
from tests.faults.event_rig import EVENT, LOOK_SECONDS, MEMBERS, NAMESPACE, Bite, EventRig
from tests.support.brokers import OwnBroker

pytestmark = [pytest.mark.timeout(600), pytest.mark.long]

TASKS = 600
RATE = 15.0


def telling() -> Plan:
    """One step that tells of a payment."""
    event = Event(EVENT, delivery="acknowledged", key="$.customer")
    return (
        Template("telling", namespace=NAMESPACE)
        .step(
            "tell",
            handler="faults.publish",
            publishes_events=[event],
            config={"seconds": 0.02},
            retry=Retry(max_attempts=10, backoff_base_ms=100),
            heartbeat_timeout_seconds=6.0,
        )
        .compile()
    )


async def submit(rig: EventRig, plan: Plan) -> None:
    """Ask for the tasks, one after the other; each will tell of its number."""
    outbox = await rig.log.outbox(client_id="tests-load")
    await outbox.warm([rig.names.task_requests])
    for number in range(1, TASKS + 1):
        context = json.dumps({"number": number, "customer": f"c{rig.dice.randrange(100)}"}).encode()
        request_id = new_request_id()
        request = TaskRequest(name=plan.name, namespace=NAMESPACE, context=context, request_id=request_id)
        await outbox.write(Write(rig.names.task_requests, request_id, codec.encode(request)))
        await asyncio.sleep(1 / RATE)
    await outbox.close()


async def harm_tasks(rig: EventRig, times: int) -> None:
    """kill −9 of workers and orchestrators, started again at once."""
    dice = random.Random(f"{rig.seed} tasks")
    for _ in range(times):
        await asyncio.sleep(dice.uniform(1.0, 5.0))  # the moment itself is the fault
        kind, number = dice.choice(("orchestrator", "worker", "worker")), dice.randrange(MEMBERS)
        await rig.fleet.kill(f"{kind}-{number}")
        await rig.fleet.start(kind, number)


async def harm_subscribers(rig: EventRig, group: str, bites: list[Bite]) -> None:
    """kill −9 and SIGSTOP of the group's members."""
    dice = random.Random(f"{rig.seed} {group}")
    for fault in ("kill", "zombie", "kill_early", "kill"):
        bites.append(await FAULTS[fault](rig, group, dice))
        await asyncio.sleep(dice.uniform(0.0, 4.0))  # as above


def told(raw: RawLog, topic: str) -> dict[str, int]:
    """The events in the log: id, in hex, to the task's number."""
    wire, found = Wire(), {}
    for partition in raw.partitions[topic].values():
        for record in partition.records:
            if record.committed:
                _, event = wire.decode(record.value)
                found[event["event_id"].hex()] = json.loads(event["payload"])["number"]
    return found


async def test_each_task_tells_once_whoever_is_killed(
    own_broker: OwnBroker, prefix: str, tmp_path: Path
) -> None:
    rig = EventRig(await asyncio.to_thread(own_broker), tmp_path, TopicNames(prefix), seed=3)
    bites: list[Bite] = []
    plan = telling()
    try:
        await rig.start([plan])
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(submit(rig, plan))
            tasks.create_task(harm_tasks(rig, 8))
            for group in GROUPS:
                tasks.create_task(harm_subscribers(rig, group, bites))

        async def have_all_told() -> bool:
            raw = await read_raw(rig.broker.bootstrap_servers, rig.names.prefix)
            return set(told(raw, rig.topic).values()) == set(range(1, TASKS + 1))

        assert await rig.until(have_all_told, 120), "a task has not told"
        await rig.settled()
        await asyncio.sleep(LOOK_SECONDS)
        await asyncio.gather(*map(rig.terminate, rig.fleet.roles))
    finally:
        await rig.close()
    raw = await read_raw(rig.broker.bootstrap_servers, rig.names.prefix)
    numbers = told(raw, rig.topic)
    verdict, report = judge(
        raw,
        read_ledger(rig.ledger_folder),
        bites=bites,
        ends=rig.fleet.ends,
        numbers=numbers,
        sink=rig.sink,
    )
    print(report, verdict, Counter(end.name.split("-")[0] for end in rig.fleet.ends if end.wanted == "kill"))
    assert not verdict.failures, "\n".join(verdict.failures)
    assert sorted(numbers.values()) == list(range(1, TASKS + 1)), "each task has told once"
