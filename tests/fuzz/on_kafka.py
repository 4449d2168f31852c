"""The same noise, as raw bytes, against a real broker, a real orchestrator and a real worker, with the same accounts.

Besides what the lanes see in memory, this has what only a broker can do to a record: compression that hides its size,
and headers that no client of ours could write.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
import uuid
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from random import Random

import msgspec
from aiokafka import AIOKafkaProducer

from tasker_kafka.deploy.reading import verify_rebuild
from tasker_kafka.schemas.codec import codec, encode
from tasker_kafka.schemas.errors import DecodeError, RecordTooLarge
from tasker_kafka.schemas.records import Dispatch
from tasker_kafka.topics.brokers import open_broker
from tasker_kafka.topics.log import Outbox, Record, TopicPartition, Write
from tasker_kafka.topics.names import TopicNames
from tasker_kafka.topics.partitioner import partition_for
from tasker_kafka.topics.plans import PlanStore
from tests.support.strange_records import batch_with_strange_headers
from tests.support.system import PARTITIONS, System, chain, running

from .account import account
from .noise import Noise, make
from .report import Report
from .samples import PLANS, Material, request
from .scene import Ledger, task_id_of

__all__ = ["fuzz_kafka"]

SLICE = 500
GOOD_PER_SLICE = 8
SECONDS = 120
BOMB_BYTES = 24 * 1024 * 1024
GOOD = chain(3)


class Loaded(msgspec.Struct):
    """The log of a system that has stopped, in memory."""

    names: TopicNames
    partitions: int
    held: Mapping[str, Mapping[int, Sequence[Record]]]

    def records(self, topic: str, partition: int | None = None) -> list[Record]:
        """Every committed record of a topic, by partition and offset."""
        held = self.held[topic]
        chosen = sorted(held) if partition is None else [partition]
        return [record for number in chosen for record in held.get(number, ())]


def fuzz_kafka(seed: int, count: int, bootstrap: str | None = None) -> Report:
    """Run `count` bad records of a seed against processes; on a broker of its own unless one is given."""
    if bootstrap is not None:
        return asyncio.run(_fuzz(seed, count, bootstrap))
    broker = open_broker()
    try:
        return asyncio.run(_fuzz(seed, count, broker.bootstrap_servers))
    finally:
        broker.stop()


async def _fuzz(seed: int, count: int, bootstrap: str) -> Report:
    report = Report(seed, 0)
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        prefix = f"fuzz{uuid.uuid4().hex[:8]}"
        async with running(bootstrap, prefix, Path(folder), [GOOD, *PLANS]) as system:
            await _Run(system, seed, count, report).run()
    report.seconds = time.monotonic() - began
    return report


class _Run:
    """One run against one system."""

    def __init__(self, system: System, seed: int, count: int, report: Report) -> None:
        self._system = system
        self._count = count
        self._report = report
        self._rng = Random(f"kafka {seed}")
        self._material = Material()
        self._ledger = Ledger()
        self._steps_at = 0

    async def run(self) -> None:
        """Noise and good tasks in turn, then the accounts."""
        system = self._system
        await system.wait_closed(await system.submit(GOOD, 1))
        outbox = await system.log.outbox(client_id="noise")
        await outbox.warm([system.names.task_requests, system.names.commands])
        for begin in range(0, self._count, SLICE):
            await self._disturb(outbox, min(SLICE, self._count - begin))
            if not await self._good_tasks_complete(f"after {begin + SLICE} bad records"):
                return
        await self._compressed()
        await self._strange_headers()
        if await self._good_tasks_complete("after compressed records and strange headers"):
            await outbox.close()
            await self._settle()

    # ----------------------------------------------------------------------------------------- noise

    async def _disturb(self, outbox: Outbox, count: int) -> None:
        for _ in range(5):
            made = request(self._rng)
            await self._write(
                outbox, Noise(kind="a victim's request", topic="task_requests", key=None, value=encode(made))
            )
            self._material.victims.append(task_id_of(made))
        await asyncio.gather(*(self._write(outbox, make(self._rng, self._material)) for _ in range(count)))
        await self._find_dispatches()

    async def _write(self, outbox: Outbox, noise: Noise) -> None:
        topic = getattr(self._system.names, noise.topic)
        partition = noise.partition
        if partition is None:
            partition = (
                self._rng.randrange(PARTITIONS) if noise.key is None else partition_for(noise.key, PARTITIONS)
            )
        try:
            place = await outbox.write(Write(topic, noise.key, noise.value, noise.headers, partition))
        except RecordTooLarge:
            self._ledger.refused[noise.kind] = self._ledger.refused.get(noise.kind, 0) + 1
            return
        self._ledger.noise[place.topic, place.partition, place.offset] = noise.kind

    async def _compressed(self) -> None:
        """Records that are small on the wire and far beyond every limit when they are read."""
        producer = AIOKafkaProducer(
            bootstrap_servers=self._system.bootstrap, compression_type="gzip", max_request_size=4 * BOMB_BYTES
        )
        await producer.start()
        names = self._system.names
        for topic in (names.task_requests, names.commands):
            for value, headers in ((bytes(BOMB_BYTES), []), (b"{", [("h", bytes(BOMB_BYTES // 2))])):
                sent = await producer.send_and_wait(topic, value, key=b"k" * 16, headers=headers)
                self._ledger.noise[topic, sent.partition, sent.offset] = "compressed beyond the limit"
        await producer.stop()

    async def _strange_headers(self) -> None:
        """Records with headers whose names are no text, between others."""
        producer = AIOKafkaProducer(bootstrap_servers=self._system.bootstrap)
        await producer.start()
        names, made = self._system.names, request(self._rng)
        for topic, value in ((names.task_requests, encode(made)), (names.commands, b"poison")):
            for number in range(PARTITIONS):
                batch = batch_with_strange_headers(producer, [(None, value, False), (None, value, True)])
                sent = await (await producer.send_batch(batch, topic, partition=number))
                for offset in (sent.offset, sent.offset + 1):
                    self._ledger.noise[topic, number, offset] = "headers that are no text"
        await producer.stop()

    async def _find_dispatches(self) -> None:
        """What was granted to victims becomes material."""
        system = self._system
        place = TopicPartition(system.names.steps("default"), self._rng.randrange(PARTITIONS))
        begin, end = await system.log.begin_offset(place), await system.log.end_offset(place)
        reader = await system.log.reader({place: max(begin, end - 100)})
        while reader.position(place) < end:
            for batch in (await reader.fetch(timeout=0.5)).values():
                for record in batch.records:
                    try:
                        dispatch = codec.decode(record.value, Dispatch)
                    except DecodeError:
                        continue
                    if dispatch.plan_hash != GOOD.hash:
                        self._material.victim_dispatches.append(dispatch)
        await reader.close()

    # ------------------------------------------------------------------------------------- good tasks

    async def _good_tasks_complete(self, when: str) -> bool:
        system = self._system
        ids = await system.submit(GOOD, GOOD_PER_SLICE)
        try:
            async with asyncio.timeout(SECONDS):
                waiting = asyncio.create_task(system.wait_closed(ids))
                while not waiting.done():
                    await asyncio.wait([waiting], timeout=0.5)
                    self._check_roles(when)
                    if self._report.faults:
                        waiting.cancel()
                        return False
                records = waiting.result()
        except TimeoutError:
            self._report.faults.append(f"{when}: good tasks do not complete")
            return False
        for task_id in ids:
            shape = [len(each.transitions) for each in records[task_id]]
            if len(shape) != 1 + len(GOOD.steps):
                self._report.faults.append(f"{when}: task {task_id.hex()} has records of {shape} transitions")
        self._report.good_tasks += len(ids)
        return not self._report.faults

    def _check_roles(self, when: str) -> None:
        for name, process in self._system.roles.items():
            if process.poll() is not None:
                text = self._system.errors_of(name)
                self._report.faults.append(f"{when}: {name} ended with {process.returncode}: {text}")

    # ---------------------------------------------------------------------------------------- accounts

    async def _settle(self) -> None:
        """Stop the orchestrator in order, then read everything."""
        system, report = self._system, self._report
        process = system.roles["orchestrator-0"]
        process.terminate()
        code = await asyncio.to_thread(process.wait, 30)
        if code:
            report.faults.append(
                f"the orchestrator stopped with {code}: {system.errors_of('orchestrator-0')}"
            )
            return
        report.noise = len(self._ledger.noise) + sum(self._ledger.refused.values())
        report.accounts = account(await self._load(), self._ledger)
        report.faults += report.accounts.faults
        plans = PlanStore(system.log, system.names)
        await plans.start()
        found = await verify_rebuild(system.log, system.names, plans)
        await plans.stop()
        if found.first is not None:
            report.faults.append(f"fold and table differ: {found.first}")

    async def _load(self) -> Loaded:
        names, log = self._system.names, self._system.log
        held: dict[str, dict[int, list[Record]]] = {}
        for topic in (
            names.task_requests,
            names.commands,
            names.transitions,
            names.task_state,
            names.rejections,
        ):
            held[topic] = defaultdict(list)
            for number in range(await log.partition_count(topic)):
                place = TopicPartition(topic, number)
                end = await log.end_offset(place)
                reader = await log.reader({place: 0})
                while reader.position(place) < end:
                    for batch in (await reader.fetch(timeout=0.5)).values():
                        held[topic][number] += batch.records
                await reader.close()
        return Loaded(names, PARTITIONS, held)
