"""Measures the engine's own CPU time per step, without a broker: recorded commands, one lane, an outbox without a wire.

    PYTHONPATH=. python -m tests.bench.engine_cpu
    PYTHONPATH=. python -m tests.bench.engine_cpu --shapes chain-5 --tasks 1000 --rounds 9

Rates need a quiet machine; the CPU time of one process hardly does, so a change of the hot path is judged by this. The
commands of a drained load are made once, then decided again and again by new lanes. What leaves a lane goes into
batches of the driver as on Kafka, which are closed and acknowledged at the next turn of the loop. What is not in it:
the connection to the broker, and Faust.

Printed are the best round of each shape and a digest of everything that was written: a change that is only faster
leaves the digest as it was.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import time
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import uvloop
from aiokafka.producer.message_accumulator import BatchBuilder

from tasker_kafka.schemas.codec import codec
from tasker_kafka.schemas.plan import Plan
from tasker_kafka.schemas.records import Command, Dispatch, StepResult, TaskRequest
from tasker_kafka.schemas.template import Template
from tasker_kafka.schemas.words import Outcome
from tasker_kafka.streams.lane import EngineLane, IntakeLane, LaneSettings
from tasker_kafka.streams.lane.equipment import LaneEquipment
from tasker_kafka.topics.declarations import TopicPlan, declarations, declared_for
from tasker_kafka.topics.delivery import Delivery
from tasker_kafka.topics.garbage import settle_garbage
from tasker_kafka.topics.log import Batch, LogFailure, Record, TopicPartitionOffset, Write
from tasker_kafka.topics.memory import MemoryLog
from tasker_kafka.topics.memory.writer import MemoryTransactionalWriter
from tasker_kafka.topics.names import TopicNames
from tasker_kafka.topics.pipeline import PipelinedOutbox
from tasker_kafka.topics.plans import PlanStore, publish
from tasker_kafka.topics.provision import create
from tests.support.system import chain, fan_out

_FETCHED = 250
"""Records handed over at once: what a fetch of a drained partition brings, about."""
_SAVED_EVERY = 1_000
"""Commands between two checkpoints: what a partition decides in the default interval, about."""
_BATCH_BYTES = 256 * 1024
_FIRST_MS = 1_700_000_000_000
_PER_MS = 50
"""Records of one broker timestamp."""
_SETTINGS = LaneSettings(reconcile_interval_ms=0)
SHAPES = ("chain-5", "diamond", "fan-out-20")
_NO_HEADERS: list[tuple[str, bytes]] = []


def plans() -> dict[str, Plan]:
    """The shapes by name."""
    diamond = Template("diamond").step("start", handler="test.noop")
    for branch in ("left", "right"):
        diamond = diamond.step(branch, handler="test.noop", depends_on=["start"])
    diamond = diamond.step("end", handler="test.noop", depends_on=["left", "right"])
    return dict(zip(SHAPES, (chain(5), diamond.compile(), fan_out(20)), strict=True))


class _Payload:
    """A record batch of the driver that grows, as in the outbox on Kafka."""

    def __init__(self) -> None:
        self._builder = BatchBuilder(_BATCH_BYTES, 0)

    def append(self, write: Write) -> bool:
        headers = list(write.headers) if write.headers else _NO_HEADERS
        found = self._builder.append(
            timestamp=write.timestamp, key=write.key, value=write.value, headers=headers
        )
        return found is not None

    def close(self) -> None:
        self._builder._build()


class WirelessOutbox(PipelinedOutbox):
    """Closes every batch and acknowledges it at the next turn of the loop. `kept`: every write, if somebody asks."""

    def __init__(
        self, partitions: Callable[[str], int], on_failure: Callable[[LogFailure], None] | None = None
    ) -> None:
        super().__init__(delivery_timeout=60.0, on_failure=on_failure)
        self._count = partitions
        self.kept: list[Write] | None = None
        self._offset = 0

    def _new_payload(self) -> _Payload:
        return _Payload()

    async def _partitions(self, topic: str) -> int:
        return self._count(topic)

    def _deliver(self, deliveries: list[Delivery]) -> None:
        self._loop.call_soon(self._arrive, deliveries)

    def _arrive(self, deliveries: list[Delivery]) -> None:
        for delivery in deliveries:
            payload = delivery.payload
            assert isinstance(payload, _Payload)
            payload.close()
            if self.kept is not None:
                self.kept += [write for write, _ in delivery.entries]
            self._offset += len(delivery.entries)
            self._settle(delivery, self._offset)

    async def _stop(self) -> None:
        """There is nothing to give up."""


class _WirelessWriter(MemoryTransactionalWriter):
    """Takes the first transaction (the owner's mark) into the log; later ones become a batch and are let go."""

    marked = False

    async def commit(self, writes: Sequence[Write]) -> list[TopicPartitionOffset]:
        if not self.marked:
            self.marked = True
            return await super().commit(writes)
        payload = _Payload()
        for write in writes:
            if not payload.append(write):
                payload.close()
                payload = _Payload()
                payload.append(write)
        payload.close()
        return []


class _WirelessLog(MemoryLog):
    """The in-memory log for reading; what is written costs as on Kafka, and is let go."""

    def transactional(self, transactional_id: str, *, timeout_ms: int = 10_000) -> _WirelessWriter:
        return _WirelessWriter(self.cluster, self._process, transactional_id, timeout_ms)


class Spent(NamedTuple):
    """CPU seconds of one round."""

    intake: float
    engine: float
    checkpoints: float


class Rig:
    """One plan on one partition: its recorded requests and commands, and new lanes that take them again."""

    def __init__(self, plan: Plan, tasks: int) -> None:
        self.plan = plan
        self.tasks = tasks
        self.steps = tasks * len(plan.steps)
        self._names = TopicNames()
        self._log = _WirelessLog()
        self._requests: tuple[Record, ...] = ()
        self._commands: list[Record] = []

    async def record(self) -> str:
        """Make the requests, take them in, decide and answer wave by wave; the digest of all that was written."""
        await self._create()
        self._requests = tuple(self._request(number) for number in range(self.tasks))
        outbox = self._outbox()
        kept: list[Write] = []
        outbox.kept = kept
        engine, intake = await self._lanes(outbox)
        await intake.process(Batch(0, self.tasks, self._requests))
        written = hashlib.sha256()
        wave = self._requests
        while wave:
            await outbox.flush()
            _digest(written, kept)
            wave = tuple(self._answers(kept))
            kept.clear()
            self._commands += wave
            if wave:
                await engine.process(Batch(wave[0].offset, wave[-1].offset + 1, wave))
        await outbox.close()
        return written.hexdigest()[:16]

    async def round(self) -> Spent:
        """Take everything in and decide it once more with new lanes."""
        outbox = self._outbox()
        engine, intake = await self._lanes(outbox)
        settle_garbage()
        began = time.process_time()
        for batch in _batches(self._requests):
            await intake.process(batch)
            await asyncio.sleep(0)
        await intake.checkpoint()
        middle = time.process_time()
        checkpoints = 0.0
        for batch in _batches(self._commands):
            await engine.process(batch)
            await asyncio.sleep(0)
            if batch.next_position % _SAVED_EVERY == 0:
                before = time.process_time()
                await engine.checkpoint()
                checkpoints += time.process_time() - before
        await outbox.flush()
        end = time.process_time()
        if engine.metrics.decided != len(self._commands):
            raise AssertionError(f"{engine.metrics.decided} of {len(self._commands)} commands were decided")
        await outbox.close()
        await engine.drop()
        return Spent(middle - began, end - middle - checkpoints, checkpoints)

    async def _create(self) -> None:
        queues, namespaces = declared_for([self.plan])
        declared = declarations(self._names, TopicPlan(partitions=1), queues=queues, namespaces=namespaces)
        await create(self._log.admin(), declared)
        await publish(self._log, self._names, [self.plan])

    def _outbox(self) -> WirelessOutbox:
        return WirelessOutbox(self._log.cluster.partitions)

    async def _lanes(self, outbox: WirelessOutbox) -> tuple[EngineLane, IntakeLane]:
        equipment = LaneEquipment(
            log=self._log,
            names=self._names,
            plans=await self._published(),
            outbox=outbox,
            settings=_SETTINGS,
            instance="bench",
        )
        engine = EngineLane(0, equipment)
        await engine.acquire()
        return engine, IntakeLane(0, equipment)

    async def _published(self) -> PlanStore:
        store = PlanStore(self._log, self._names)
        await store.start()
        await store.catch_up()
        await store.stop()
        return store

    def _request(self, number: int) -> Record:
        request_id = (number + 1).to_bytes(16, "big")
        request = TaskRequest(name=self.plan.name, context=b"{}", request_id=request_id)
        value = codec.encode(request)
        return Record(self._names.task_requests, 0, number, _FIRST_MS + number // _PER_MS, request_id, value)

    def _answers(self, written: list[Write]) -> Iterator[Record]:
        """What these writes bring into the commands topic: intake's own, and a worker's answers to dispatches."""
        queues = {self._names.steps(queue) for queue in self.plan.queues}
        offset = len(self._commands)
        for write in written:
            key, value = write.key, write.value
            if write.topic in queues:
                dispatch = codec.decode(value, Dispatch)
                key, value = dispatch.task_id, codec.encode(Command(dispatch.task_id, _success(dispatch)))
            elif write.topic != self._names.commands:
                continue
            at = _FIRST_MS + 1_000 + offset // _PER_MS
            yield Record(self._names.commands, 0, offset, at, key, value)
            offset += 1


def _success(dispatch: Dispatch) -> StepResult:
    return StepResult(
        life=dispatch.life,
        step=dispatch.step,
        attempt=dispatch.attempt,
        outcome=Outcome.SUCCESS,
        worker_id="host-1234-0",
        started_at=dispatch.dispatched_at + 2,
        finished_at=dispatch.dispatched_at + 2,
        result=b"null",
    )


def _batches(records: Sequence[Record]) -> Iterator[Batch]:
    for begin in range(0, len(records), _FETCHED):
        part = tuple(records[begin : begin + _FETCHED])
        yield Batch(part[0].offset, part[-1].offset + 1, part)


def _digest(whole: hashlib._Hash, writes: list[Write]) -> None:
    """By topic, because the order between topics is nobody's business."""
    for write in sorted(writes, key=lambda each: each.topic):
        whole.update(repr(write).encode())


async def measure(plan: Plan, tasks: int, rounds: int) -> tuple[str, int, Spent]:
    """The digest, the steps of a round, and of all rounds the least of each part."""
    rig = Rig(plan, tasks)
    digest = await rig.record()
    spent = [await rig.round() for _ in range(rounds)]
    return digest, rig.steps, Spent(*(min(part) for part in zip(*spent, strict=True)))


def main(given: Sequence[str] | None = None) -> int:
    """Measure the chosen shapes and print a line for each."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--shapes", default=",".join(SHAPES), help=",".join(SHAPES))
    parser.add_argument("--tasks", type=int, default=1_000, help="tasks of a shape; a fan-out has a quarter")
    parser.add_argument("--rounds", type=int, default=7, help="the best of so many")
    chosen = parser.parse_args(given)
    print("CPU us per step:  shape         total   intake  engine  checkpoints   digest")
    for shape in chosen.shapes.split(","):
        tasks = max(1, chosen.tasks // 4) if shape == "fan-out-20" else chosen.tasks
        digest, steps, spent = uvloop.run(measure(plans()[shape], tasks, chosen.rounds))
        parts = [1e6 * part / steps for part in (sum(spent), *spent)]
        print(f"{shape:>23}  {parts[0]:9.1f}{parts[1]:9.1f}{parts[2]:8.1f}{parts[3]:13.1f}   {digest}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
