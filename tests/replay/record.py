"""Makes the recorded logs: `PYTHONPATH=. python -m tests.replay.record NAME`. Real processes on an embedded Kafka.

`PYTHONPATH=. python -m tests.replay.record kills` is what tests/replay/test_recordings.py replays: retries, a task that
an operator mends, one that is cancelled, an orchestrator killed twice, and poison among the commands.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from pathlib import Path

from tasker_kafka.schemas.plan import Plan
from tasker_kafka.schemas.template import Retry, Template
from tasker_kafka.topics.brokers import EmbeddedBroker
from tasker_kafka.topics.client import TaskClient
from tasker_kafka.topics.log import Record, TopicPartition, Write
from tests.support.recording import RECORDINGS, save
from tests.support.system import PARTITIONS, System, chain, fan_out, running

FLAKY = (
    Template("flaky")
    .step("first", handler="test.noop")
    .step(
        "second",
        handler="test.flaky",
        config={"fail_times": 2},
        depends_on=["first"],
        retry=Retry(max_attempts=4, backoff_base_ms=20),
    )
    .compile()
)
HOPELESS = (
    Template("hopeless")
    .step("first", handler="test.flaky", config={"fail_times": 1}, retry=Retry(max_attempts=1))
    .step("second", handler="test.noop", depends_on=["first"])
    .compile()
)
PLANS: list[Plan] = [chain(5), fan_out(5), FLAKY, HOPELESS]


async def story(system: System) -> None:
    """What is recorded."""
    ids: list[bytes] = []
    for plan in PLANS:
        ids += await system.submit(plan, 6)
    outbox = await system.log.outbox(client_id="poison")
    await outbox.warm([system.names.commands])
    for partition in range(PARTITIONS):
        for key, value in ((b"k" * 16, b"\xff\x00random"), (None, None), (b"k" * 16, b"")):
            await outbox.write(Write(system.names.commands, key, value, partition=partition))
    await outbox.close()
    await system.wait_closed(ids[:6])
    for _ in range(2):
        ids += await system.submit(PLANS[0], 10)
        system.kill("orchestrator-0")
        system.restart("orchestrator-0")
    records = await system.wait_closed(ids)
    failed = [
        task_id
        for task_id in ids
        if any(
            each.to_state == "error" and each.step is None
            for last in records[task_id]
            for each in last.transitions
        )
    ]
    async with TaskClient(system.log, system.names) as client:
        for number, task_id in enumerate(failed):
            if number % 2:
                await client.cancel(task_id, actor="ann", reason="not worth it")
            else:
                await client.retry(task_id, actor="ann", reason="mended")
                await client.task(task_id)
    await asyncio.sleep(2)  # the last checkpoint


async def everything(system: System, topic: str, partitions: int) -> list[Record]:
    """Every committed record of a topic."""
    found: list[Record] = []
    for number in range(partitions):
        partition = TopicPartition(topic, number)
        end = await system.log.end_offset(partition)
        reader = await system.log.reader({partition: 0})
        while reader.position(partition) < end:
            for batch in (await reader.fetch(timeout=0.5)).values():
                found += batch.records
        await reader.close()
    return found


async def record(name: str) -> None:
    """Run the story and save its topics."""
    with EmbeddedBroker.start() as broker, tempfile.TemporaryDirectory() as folder:
        async with running(broker.bootstrap_servers, "recorded", Path(folder), PLANS) as system:
            await story(system)
            names = system.names
            topics = {
                "templates": await everything(system, names.templates, 1),
                "commands": await everything(system, names.commands, PARTITIONS),
                "transitions": await everything(system, names.transitions, PARTITIONS),
                "task_state": await everything(system, names.task_state, PARTITIONS),
            }
    save(RECORDINGS / f"{name}.jsonl.gz", topics)


if __name__ == "__main__":
    asyncio.run(record(sys.argv[1]))
