"""The worker's side of step handlers in child processes: a call goes in, and its end comes out."""

from __future__ import annotations

import sys
from collections.abc import Callable
from concurrent.futures import Executor

from tasker_kafka.handlers.calls import StepCall, StepServices
from tasker_kafka.handlers.definition import HandlerDefinition
from tasker_kafka.handlers.publishing.errors import EventError
from tasker_kafka.handlers.results import CallEnd, Failed

from .messages import Beat, End, FromChild, Publish, Published, Run, Submit, Submitted
from .pool import Child, ChildPool, ProcessDied
from .serving import is_memory_limit

__all__ = ["ChildProcesses"]


class ChildProcesses:
    """At most `size` children that run calls at once, and as many idle ones."""

    def __init__(self, threads: Executor, size: int) -> None:
        self._pool: ChildPool[FromChild] = ChildPool(f"{__package__}.child", FromChild, threads, size)
        self.close = self._pool.close

    async def run(
        self, handler: HandlerDefinition, call: StepCall, services: StepServices, begin: Callable[[], None]
    ) -> CallEnd:
        """Run a call in a child; `begin` is called once a child is free. Cancelling kills the child."""
        order = Run(handler.place, sys.path, handler.memory_mb, call)
        try:
            return await self._pool.run(
                lambda child: _talk(child, order, services), begin, memory_mb=handler.memory_mb
            )
        except ProcessDied as error:
            return Failed(error.failure)


def _talk(child: Child[FromChild], order: Run, services: StepServices) -> CallEnd:
    child.send(order)
    while not isinstance(message := child.receive(), End):
        if isinstance(message, Beat):
            services.heartbeat(message.progress)
        elif isinstance(message, Submit):
            child.send(_submitted(services, message))
        else:
            child.send(_published(services, message))
    if isinstance(message.end, Failed) and is_memory_limit(message.end.failure):
        child.discard()
    return message.end


def _submitted(services: StepServices, message: Submit) -> Submitted:
    try:
        services.submit_and_wait(message.request)
    except Exception as error:
        return Submitted(str(error))
    return Submitted(None)


def _published(services: StepServices, message: Publish) -> Published:
    try:
        services.publish_and_wait(message.name, message.payload)
    except EventError as error:
        return Published(error.message, error.code, error.next_step)
    except Exception as error:
        return Published(str(error), "publish_failed")
    return Published()
