"""A worker in a process of its own, to be killed: `python -m tests.contract.worker_process BOOTSTRAP PREFIX ID`."""

from __future__ import annotations

import asyncio
import os
import signal
import sys

import msgspec

from tasker_kafka.handlers import HandlerRegistry, StepContext, step_handler
from tasker_kafka.handlers.worker import StepWorker
from tasker_kafka.topics.kafka import KafkaLog
from tasker_kafka.topics.names import TopicNames
from tasker_kafka.topics.plans import PlanStore

from .worker_rig import FAST, QUEUE


@step_handler("one")
async def one(context: StepContext) -> str:
    """A good neighbour."""
    await asyncio.sleep(0.05)
    return context.worker_id


@step_handler("killer")
async def killer() -> None:
    """Ends its process as hard as can be."""
    os.kill(os.getpid(), signal.SIGKILL)


async def main(bootstrap: str, prefix: str, worker_id: str) -> None:
    """Work until killed."""
    log, names = KafkaLog(bootstrap), TopicNames(prefix)
    await log.start()
    plans = PlanStore(log, names)
    await plans.start()
    # A static member: its successor is back at once, without waiting for the session to run out.
    settings = msgspec.structs.replace(FAST, instance_id="static")
    registry = HandlerRegistry(one, killer)
    await StepWorker(log, names, plans, [QUEUE], registry, settings=settings, worker_id=worker_id).run()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
