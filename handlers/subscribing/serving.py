"""Serves groups in one process. No group stops another.

One group alone: what ends it ends the process, and whoever started the process decides. Several: a group that ends
is started again after a while, the others go on. One that cannot go on before somebody acts (a setting, a topic, a
newer release; exit codes 77 and 78) stays down, and is what `run` raises when no other is left or when all is stopped.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any, Protocol

from tasker_kafka.schemas.errors import ConfigurationError
from tasker_kafka.schemas.exits import ExitCode, exit_code, is_final

from .backoff import Backoff
from .subscription import SubscriberSpec

if TYPE_CHECKING:
    from tasker_kafka.handlers.delivery.settings import DeliverySettings
    from tasker_kafka.schemas.settings import Settings
    from tasker_kafka.topics.log import Log
    from tasker_kafka.topics.names import TopicNames

__all__ = ["MakeMember", "Member", "Serving", "delivery_settings", "member_maker", "serve_with_settings"]

_logger = logging.getLogger("tasker.subscriber")
USUAL_ADDRESS = "127.0.0.1:9092"


class Member(Protocol):
    """One group's member in this process: `handlers.delivery.runtime.GroupMember`."""

    async def run(self) -> None:
        """Deliver until `stop`; raises what makes it impossible to go on."""
        ...

    async def stop(self) -> None:
        """Ask `run` to end."""
        ...

    async def wait_ready(self) -> None:
        """Until it has its partitions, or has ended."""
        ...


MakeMember = Callable[[SubscriberSpec], Member]


class Serving:
    """Runs a member of each group until `stop`."""

    def __init__(
        self,
        specs: Iterable[SubscriberSpec],
        make_member: MakeMember,
        *,
        make_backoff: Callable[[], Backoff] = Backoff,
    ) -> None:
        self._specs = tuple(specs)
        if not self._specs:
            raise ConfigurationError(
                "there is no group to serve", next_step="declare a Subscriber with a handler"
            )
        self._make_member = make_member
        self._make_backoff = make_backoff
        self._members: dict[str, Member] = {}
        self._down: dict[str, Exception] = {}
        self._stopping = asyncio.Event()
        self._ready = {spec.group: asyncio.Event() for spec in self._specs}

    async def run(self) -> None:
        """Serve until `stop`, or until no group can go on; then raises what ended the first of them."""
        async with asyncio.TaskGroup() as tasks:
            for spec in self._specs:
                tasks.create_task(self._serve(spec), name=f"group-{spec.group}")
        for error in self._down.values():
            raise error

    async def stop(self) -> None:
        """Ask every group to end: each finishes what it has in hand."""
        self._stopping.set()
        await asyncio.gather(*(member.stop() for member in self._members.values()))

    async def wait_ready(self) -> None:
        """Until every group has had its partitions once, or is down."""
        for event in self._ready.values():
            await event.wait()

    async def _serve(self, spec: SubscriberSpec) -> None:
        """One group: again and again, until it is stopped or down."""
        loop = asyncio.get_running_loop()
        backoff = self._make_backoff()
        try:
            while not self._stopping.is_set():
                begun = loop.time()
                try:
                    await self._run_once(spec)
                    return
                except Exception as error:
                    if not self._may_go_on(spec.group, error):
                        return
                    wait = backoff.after(loop.time() - begun)
                _logger.error("group %s has ended; it starts again in %g s", spec.group, wait)
                await self._pause(wait)
        finally:
            self._ready[spec.group].set()

    async def _run_once(self, spec: SubscriberSpec) -> None:
        async with spec.opened():
            member = self._make_member(spec)
            telling = asyncio.create_task(self._tell_ready(spec.group, member))
            self._members[spec.group] = member
            try:
                if not self._stopping.is_set():
                    await member.run()
            finally:
                del self._members[spec.group]
                telling.cancel()

    async def _tell_ready(self, group: str, member: Member) -> None:
        await member.wait_ready()
        self._ready[group].set()

    def _may_go_on(self, group: str, error: Exception) -> bool:
        """Tell why the group has ended; False: it stays down."""
        if len(self._specs) == 1:  # whoever called `run` is told
            self._down[group] = error
            return False
        code = exit_code(error)
        _logger.error("group %s: %s", group, error, exc_info=error if code is ExitCode.INTERNAL else None)
        if not is_final(code):
            return True
        _logger.critical("group %s stays down until somebody acts; the others go on", group)
        self._down[group] = error
        return False

    async def _pause(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._stopping.wait()
        except TimeoutError:
            return


# ----------------------------------------------------------------------------- from settings


def delivery_settings(settings: Settings) -> DeliverySettings:
    """What settings say of delivery."""
    from msgspec.structs import replace

    from tasker_kafka.handlers.delivery.settings import settings_from

    found = settings_from(settings.events)
    return replace(
        found,
        replication_factor=settings.topics.replication_factor or found.replication_factor,
        **settings.subscriber.model_dump(),
    )


def member_maker(log: Log, names: TopicNames, settings: DeliverySettings, **options: Any) -> MakeMember:
    """Makes the members of this process on one connection. options: of `GroupMember`."""
    from tasker_kafka.handlers.delivery.runtime import GroupMember
    from tasker_kafka.handlers.delivery.solitude import Solitude

    solitude = Solitude()
    return lambda spec: GroupMember(log, names, spec, settings=settings, solitude=solitude, **options)


async def serve_with_settings(
    specs: Iterable[SubscriberSpec],
    *,
    bootstrap_servers: str | None = None,
    prefix: str | None = None,
    settings: Settings | None = None,
    started: Callable[[Serving], None] = lambda serving: None,
) -> None:
    """Connect to Kafka and serve these groups until stopped; see `Subscriber.serve`.

    started: given the `Serving` before it runs, as to stop it at a signal
    """
    from tasker_kafka.schemas.redaction import Redactor, use_redactor
    from tasker_kafka.schemas.settings import load_settings
    from tasker_kafka.topics.configured import use_configured_registry
    from tasker_kafka.topics.kafka.configured import configured_log
    from tasker_kafka.topics.names import TopicNames

    settings = settings or load_settings()
    use_redactor(Redactor(settings.redaction.filter_parameters, settings.redaction.filter_mask))
    use_configured_registry(settings)
    address = bootstrap_servers or settings.broker.bootstrap or USUAL_ADDRESS
    async with AsyncExitStack() as opened:
        log = configured_log(settings, bootstrap=address)
        opened.push_async_callback(log.close)
        await log.start()
        names = TopicNames(prefix or settings.prefix)
        serving = Serving(specs, member_maker(log, names, delivery_settings(settings)))
        started(serving)
        await serving.run()
