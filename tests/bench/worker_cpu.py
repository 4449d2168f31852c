"""Measures a step worker's own CPU time per step, without a broker: prepared dispatches, an outbox without a wire.

    PYTHONPATH=. python -m tests.bench.worker_cpu
    PYTHONPATH=. python -m tests.bench.worker_cpu --handlers cpu.async --steps 20000 --profile worker.prof

The sister of `engine_cpu`. The queue is read from the log in memory; answers go into batches of the driver as on Kafka,
which are closed and acknowledged at the next turns of the loop. What is not in it: the connection to the broker.

Printed are the best round of each handler and a digest of all answers without times and the worker's name: a change
that is only faster leaves the digest as it was.
"""

from __future__ import annotations

import argparse
import asyncio
import cProfile
import hashlib
import sys
import time
from collections.abc import Callable, Iterable, Sequence

import msgspec
import uvloop

from tasker_kafka.handlers import HandlerRegistry, StepContext, step_handler
from tasker_kafka.handlers.worker import StepWorker
from tasker_kafka.schemas.codec import codec
from tasker_kafka.schemas.identity import dispatch_key
from tasker_kafka.schemas.plan import Plan
from tasker_kafka.schemas.records import Command, Dispatch, StepResult
from tasker_kafka.schemas.template import Template
from tasker_kafka.topics.declarations import TopicPlan, declarations, declared_for
from tasker_kafka.topics.delivery import Delivery
from tasker_kafka.topics.garbage import settle_garbage
from tasker_kafka.topics.log import LogFailure, Write
from tasker_kafka.topics.memory import MemoryLog
from tasker_kafka.topics.names import TopicNames
from tasker_kafka.topics.plans import PlanStore, publish
from tasker_kafka.topics.provision import create
from tests.bench.engine_cpu import WirelessOutbox

_PARTITIONS = 4
_QUEUE = "default"
_FIRST_MS = 1_700_000_000_000


@step_handler("cpu.async")
async def without_context() -> dict[str, bool]:
    """Nothing."""
    return {"ok": True}


@step_handler("cpu.context")
async def with_context(context: StepContext) -> dict[str, int]:
    """Nothing, with a look at the attempt."""
    return {"attempt": context.attempt}


@step_handler("cpu.waiting")
async def waiting() -> dict[str, bool]:
    """Waits once, as a handler does that calls something."""
    await asyncio.sleep(0)
    return {"ok": True}


@step_handler("cpu.plain")
def in_a_thread() -> dict[str, bool]:
    """Nothing, in a thread."""
    return {"ok": True}


HANDLERS = HandlerRegistry(without_context, with_context, waiting, in_a_thread)


class _AnswersOutbox(WirelessOutbox):
    """Says when so many records have gone."""

    def __init__(
        self, partitions: Callable[[str], int], on_failure: Callable[[LogFailure], None] | None
    ) -> None:
        super().__init__(partitions, on_failure)
        self.gone: list[Write] = []
        self.kept = self.gone
        self.wanted = sys.maxsize
        self.done = asyncio.Event()

    def _arrive(self, deliveries: list[Delivery]) -> None:
        super()._arrive(deliveries)
        if len(self.gone) >= self.wanted:
            self.done.set()


class _WirelessLog(MemoryLog):
    """The log in memory, but what is written through `made` goes nowhere."""

    made: _AnswersOutbox | None = None

    async def outbox(  # type: ignore[override]  # pyright: ignore[reportIncompatibleMethodOverride] - it is another outbox
        self, *, client_id: str, on_failure: Callable[[LogFailure], None] | None = None
    ) -> _AnswersOutbox:
        self.made = _AnswersOutbox(self.cluster.partitions, on_failure)
        return self.made


class Rig:
    """A queue full of dispatches to one handler, and a worker that empties it."""

    def __init__(self, handler: str, steps: int) -> None:
        self._handler = handler
        self._steps = steps
        self._names = TopicNames()
        self._log = MemoryLog()
        self._plan: Plan = Template("cpu").step("step", handler=handler, queue=_QUEUE).compile()

    async def fill(self) -> None:
        """Create the topics, publish the plan, write the dispatches."""
        queues, namespaces = declared_for([self._plan])
        plan = TopicPlan(partitions=_PARTITIONS)
        await create(self._log.admin(), declarations(self._names, plan, queues=queues, namespaces=namespaces))
        await publish(self._log, self._names, [self._plan])
        topic = self._names.steps(_QUEUE)
        outbox = await self._log.outbox(client_id="fill")
        await outbox.warm([topic])
        for number in range(self._steps):
            task = number.to_bytes(16, "big")
            outbox.send(Write(topic, dispatch_key(task, "step"), codec.encode(self._dispatch(task))))
        await outbox.flush()

    def _dispatch(self, task: bytes) -> Dispatch:
        return Dispatch(
            task_id=task,
            life=1,
            step="step",
            attempt=1,
            last_attempt=False,
            plan_hash=self._plan.hash,
            handler=self._handler,
            correlation_id="0f0e0d0c-0000-4000-8000-000000000001",
            dispatched_at=_FIRST_MS,
            context=b"{}",
            inputs=(),
            queue_deadline=None,
            traceparent=None,
        )

    async def empty(self, profile: cProfile.Profile | None) -> tuple[float, str]:
        """CPU seconds of a worker for the whole queue, and the digest of its answers."""
        log = _WirelessLog(self._log.cluster)
        plans = PlanStore(log, self._names)
        await plans.start()
        worker = StepWorker(log, self._names, plans, [_QUEUE], HANDLERS)
        settle_garbage()
        if profile is not None:
            profile.enable()
        began = time.process_time()
        running = asyncio.create_task(worker.run())
        await worker.wait_ready()
        outbox = log.made
        assert outbox is not None
        outbox.wanted = self._steps + 1  # the announcement, too
        await outbox.done.wait()
        spent = time.process_time() - began
        if profile is not None:
            profile.disable()
        await worker.stop()
        await running
        await plans.stop()
        return spent, _digest(each for each in outbox.gone if each.topic == self._names.commands)


def _digest(answers: Iterable[Write]) -> str:
    found = []
    for each in answers:
        body = codec.decode(each.value, Command).body
        assert isinstance(body, StepResult)
        body = msgspec.structs.replace(body, started_at=0, finished_at=0, worker_id="")
        found.append(repr((each.key, body)))
    return hashlib.sha256("\n".join(sorted(found)).encode()).hexdigest()[:16]


async def measure(handler: str, steps: int, profile: cProfile.Profile | None = None) -> tuple[float, str]:
    """One round."""
    rig = Rig(handler, steps)
    await rig.fill()
    return await rig.empty(profile)


def main(given: Sequence[str] | None = None) -> int:
    """Measure the chosen handlers and print a line for each."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--handlers", default=",".join(HANDLERS.names), help=",".join(HANDLERS.names))
    parser.add_argument("--steps", type=int, default=5_000, help="dispatches of a round")
    parser.add_argument("--rounds", type=int, default=5, help="the best of so many")
    parser.add_argument("--profile", metavar="FILE", help="profile the rounds; the times are longer then")
    chosen = parser.parse_args(given)
    profile = cProfile.Profile() if chosen.profile else None
    print("CPU us per step:       handler     total   digest")
    for handler in chosen.handlers.split(","):
        rounds = [uvloop.run(measure(handler, chosen.steps, profile)) for _ in range(chosen.rounds)]
        spent, digest = min(rounds)
        print(f"{handler:>30}{1e6 * spent / chosen.steps:10.1f}   {digest}")
    if profile is not None:
        profile.dump_stats(chosen.profile)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
