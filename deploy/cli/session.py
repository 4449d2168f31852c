"""Which system a command talks to, and the one place where it connects.

The address is that of the settings (TASKER_BROKER); without one, the user's own broker (`tasker broker start`) if it
runs, else this machine's usual port.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from tasker_kafka.schemas.settings import Settings
    from tasker_kafka.topics.log import Log
    from tasker_kafka.topics.names import TopicNames
    from tasker_kafka.topics.plans import PlanStore

__all__ = ["Session", "bootstrap_of", "connect", "in_session", "open_session"]

T = TypeVar("T")

USUAL_ADDRESS = "127.0.0.1:9092"


@dataclass(frozen=True)
class Session:
    """A connection to a system, and the names of its topics."""

    settings: Settings
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


def bootstrap_of(settings: Settings) -> str:
    """The address of the cluster that is meant."""
    from tasker_kafka.topics.brokers.detached import status_detached

    if settings.broker.bootstrap is not None:
        return settings.broker.bootstrap
    broker = status_detached()
    return USUAL_ADDRESS if broker is None else broker.bootstrap_servers


def connect(settings: Settings) -> Log:
    """A log on the cluster of the settings, not yet started. Tests put their own in its place."""
    from tasker_kafka.topics.kafka.configured import configured_log

    return configured_log(settings, bootstrap=bootstrap_of(settings))


@asynccontextmanager
async def open_session() -> AsyncIterator[Session]:
    """Connect, and close at the end of the block. BrokerUnavailable names address and likely cause."""
    from tasker_kafka.deploy.wiring import apply_to_process
    from tasker_kafka.schemas.settings import load_settings
    from tasker_kafka.topics.names import TopicNames

    settings = load_settings()
    apply_to_process(settings)
    log = connect(settings)
    try:
        await log.start()
        yield Session(settings, log, TopicNames(settings.prefix))
    finally:
        await log.close()


async def in_session(work: Callable[[Session], Awaitable[T]]) -> T:
    """Do a command's work on a connection."""
    async with open_session() as session:
        return await work(session)
