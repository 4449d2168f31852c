"""Which system a command talks to, and the one place where it connects.

The address is that of TASKER_BROKER or the settings; without one, the user's own broker (`tasker broker start`) if it
runs, else this machine's usual port.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from tasker_kafka.topics.log import Log
    from tasker_kafka.topics.names import TopicNames
    from tasker_kafka.topics.plans import PlanStore

__all__ = ["Session", "Target", "connect", "in_session", "open_session", "target"]

T = TypeVar("T")

USUAL_ADDRESS = "127.0.0.1:9092"


@dataclass(frozen=True)
class Target:
    """The system that is meant."""

    bootstrap: str
    prefix: str


@dataclass(frozen=True)
class Session:
    """A connection to a system, and the names of its topics."""

    log: Log
    names: TopicNames

    @asynccontextmanager
    async def plans(self) -> AsyncIterator[PlanStore]:
        """The published templates, read to their end."""
        from tasker_kafka.topics.plans import PlanStore

        store = PlanStore(self.log, self.names)
        await store.start()
        try:
            yield store
        finally:
            await store.stop()


def target() -> Target:
    """The system that the environment names."""
    return Target(
        os.environ.get("TASKER_BROKER") or own_broker() or USUAL_ADDRESS,
        os.environ.get("TASKER_PREFIX") or "tasker",
    )


def own_broker() -> str | None:
    """The address of the user's own broker if it runs."""
    from tasker_kafka.topics.brokers.detached import status_detached

    broker = status_detached()
    return None if broker is None else broker.bootstrap_servers


def connect(where: Target) -> Log:
    """A log on the target's cluster, not yet started. Tests put their own in its place."""
    from tasker_kafka.topics.kafka import KafkaLog

    return KafkaLog(where.bootstrap)


@asynccontextmanager
async def open_session() -> AsyncIterator[Session]:
    """Connect, and close at the end of the block. BrokerUnavailable names address and likely cause."""
    from tasker_kafka.topics.names import TopicNames

    where = target()
    log = connect(where)
    try:
        await log.start()
        yield Session(log, TopicNames(where.prefix))
    finally:
        await log.close()


async def in_session(work: Callable[[Session], Awaitable[T]]) -> T:
    """Do a command's work on a connection."""
    async with open_session() as session:
        return await work(session)
