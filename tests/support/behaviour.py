"""What the behaviour suite is written with: flows of one test, on either side of the log.

A `Play` is a workflow test in which many small flows run; a `Flow` is one template under construction, with its
handlers beside its steps. Names are made unique, so that on a broker all tests of a module share one system.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Sequence
from typing import Any

from tasker_kafka.handlers.testing import HandledCall, TaskResult, WorkflowTask, WorkflowTest, always
from tasker_kafka.handlers.testing.orchestrator import Orchestrator
from tasker_kafka.handlers.testing.pace import IdlePace
from tasker_kafka.handlers.worker import WorkerSettings
from tasker_kafka.schemas.codec import codec
from tasker_kafka.schemas.plan import Plan
from tasker_kafka.schemas.records import Rejection, TaskRequest
from tasker_kafka.schemas.template import Retry, Template
from tasker_kafka.streams.lane import LaneSettings
from tasker_kafka.topics.log import Record, TopicPartition, Write
from tasker_kafka.topics.memory import MemoryLog
from tasker_kafka.topics.names import TopicNames
from tasker_kafka.topics.plans import publish
from tests.support.patience import PATIENCE_SECONDS

__all__ = ["ONCE", "QUICK", "Flow", "Gate", "Play", "play_in_memory", "play_on_kafka"]

QUICK = Retry(backoff_base_ms=10, jitter=0.0)
"""Three attempts, 20 and 40 ms apart."""
ONCE = Retry(max_attempts=1)

_WORKER = WorkerSettings(
    start_report_seconds=0.1, heartbeat_seconds=0.1, cancel_grace_seconds=0.3, shutdown_seconds=2.0
)


class Gate:
    """Handlers that hold until the test opens it."""

    def __init__(self, result: Any = None) -> None:
        self.is_open = False
        self.result = result
        self.most_at_once = 0
        self._inside = 0

    def open(self) -> None:
        """Let all go on."""
        self.is_open = True

    @property
    def handler(self) -> Callable[..., Any]:
        """The handler."""

        async def hold() -> Any:
            self._inside += 1
            self.most_at_once = max(self.most_at_once, self._inside)
            try:
                while not self.is_open:  # noqa: ASYNC110 - opened by the test, outside the loop
                    await asyncio.sleep(0.01)
            finally:
                self._inside -= 1
            return self.result

        return hold


class Flow:
    """One template. `step` as often as wanted, then `run` and `submit`."""

    def __init__(self, play: Play, options: dict[str, Any]) -> None:
        self.name = f"flow_{next(play.numbers)}"
        self.play = play
        version = options.pop("version", "1.0.0")
        self.template = Template(self.name, version=version, **options)
        self._is_published = False

    def step(
        self, name: str, does: Callable[..., Any] | None = None, *, after: Sequence[str] = (), **options: Any
    ) -> Flow:
        """Add a step; by default it returns its own name."""
        handler = f"{self.name}.{name}"
        self.play.workflow.replace(handler, always(name) if does is None else does)
        self.template.step(name, handler=handler, depends_on=list(after) or None, **options)
        return self

    def replace(self, step: str, does: Callable[..., Any]) -> None:
        """Another handler from now on."""
        self.play.workflow.replace(f"{self.name}.{step}", does)

    def publish(self) -> Flow:
        """Publish it, once."""
        if not self._is_published:
            self._is_published = True
            self.play.workflow.add(self.template)
        return self

    def submit(self, context: Any = None, **request: Any) -> WorkflowTask:
        """A task of it."""
        self.publish()
        return self.play.workflow.submit(self.template, context, **request)

    def run(self, context: Any = None, **request: Any) -> TaskResult:
        """A task of it, to its end."""
        return self.submit(context, **request).wait()

    def handled(self, step: str) -> list[HandledCall]:
        """The calls of this step's handler."""
        return [call for call in self.play.workflow.handled(step) if call.handler == f"{self.name}.{step}"]

    def wait_handled(self, step: str, count: int = 1) -> None:
        """Until the step's handler has begun so often."""
        self.play.workflow.wait_until(
            lambda: len(self.handled(step)) >= count, what=f"{count} calls of {step}"
        )


class Play:
    """A system that runs flows."""

    def __init__(self, workflow: WorkflowTest, *, is_memory: bool) -> None:
        self.workflow = workflow
        self.is_memory = is_memory
        self.numbers = itertools.count(1)
        """Of its flows: names are unique in a system, and the same in every run."""

    @property
    def names(self) -> TopicNames:
        """Its topics."""
        return self.workflow._ground.system.names

    def flow(self, **options: Any) -> Flow:
        """A template without steps; options as of `Template`."""
        return Flow(self, options)

    def send_raw(self, value: bytes | TaskRequest, key: bytes | None = None, **place: Any) -> int:
        """Write anything to the requests topic; its offset."""
        data = value if isinstance(value, bytes) else codec.encode(value)
        (offset,) = self.write([Write(self.names.task_requests, key, data, **place)])
        return offset

    def write(self, writes: Sequence[Write]) -> list[int]:
        """Write anything anywhere; the offsets."""
        log = self.workflow._ground.system.log

        async def write() -> list[int]:
            outbox = await log.outbox(client_id="raw")
            try:
                await outbox.warm({each.topic for each in writes})
                return [(await outbox.write(each)).offset for each in writes]
            finally:
                await outbox.close()

        return self.workflow._ground.run(write())

    def read(self, topic: str) -> list[Record]:
        """Every record of a topic."""
        log = self.workflow._ground.system.log

        async def read() -> list[Record]:
            places = [TopicPartition(topic, number) for number in range(await log.partition_count(topic))]
            ends = {place: await log.end_offset(place) for place in places}
            reader = await log.reader(dict.fromkeys(places, 0))
            found: list[Record] = []
            while any(reader.position(place) < end for place, end in ends.items()):
                found += [each for batch in (await reader.fetch()).values() for each in batch.records]
            await reader.close()
            return found

        return self.workflow._ground.run(read())

    def publish_only(self, plan: Plan) -> None:
        """Publish a plan without making its topics."""
        system = self.workflow._ground.system
        self.workflow._ground.run(publish(system.log, system.names, [plan]))

    def rejection(self, fits: Callable[[Rejection], bool]) -> Rejection:
        """The rejection that fits, as soon as it is there."""
        for _ in range(round(PATIENCE_SECONDS / 0.05)):
            self.workflow.advance(0.05)
            found = [each for each in self.workflow.rejections if fits(each)]
            if found:
                assert len(found) == 1
                return found[0]
        raise AssertionError(f"no such rejection: {self.workflow.rejections}")

    def read_requests_again(self) -> None:
        """As an orchestrator whose group has lost its offsets."""
        system = self.workflow._ground.system

        async def restart() -> None:
            former = system._orchestrator
            await former.stop()
            assert isinstance(system.log, MemoryLog)
            system.log.cluster.group(f"{system.names.prefix}-engine").offsets.clear()
            system._orchestrator = Orchestrator(
                system.log, system.names, system._lanes, system.guard.fail, IdlePace()
            )
            await system._orchestrator.start()

        self.workflow._ground.run(restart())


def play_in_memory() -> WorkflowTest:
    """Two partitions in memory; every record is folded beside `decide`, and both must agree."""
    return WorkflowTest(
        strict=False,
        partitions=2,
        lanes=LaneSettings(verify_folds=True, stall_ms=24 * 3_600_000),
        worker=_WORKER,
    )


def play_on_kafka(bootstrap: str) -> WorkflowTest:
    """The same on a broker."""
    return WorkflowTest(
        strict=False,
        partitions=2,
        broker=bootstrap,
        lanes=LaneSettings(verify_folds=True, tick_interval_ms=20),
        worker=_WORKER,
    )
