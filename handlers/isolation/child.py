"""The child process of step handlers: runs one call after the other, as its worker asks, until the worker hangs up.

Started as `python -m tasker_kafka.handlers.isolation.child FD`.
"""

from __future__ import annotations

import asyncio
import os
import threading

from tasker_kafka.handlers.definition import HandlerDefinition, definition_of
from tasker_kafka.handlers.errors import RetryableError
from tasker_kafka.handlers.execution import run_async, run_plain
from tasker_kafka.handlers.publishing.errors import EventError
from tasker_kafka.handlers.results import CallEnd
from tasker_kafka.schemas.errors import ConfigurationError
from tasker_kafka.schemas.records import TaskRequest

from .channel import Channel
from .messages import Beat, End, Publish, Published, Run, Submit, Submitted, ToChild
from .serving import contained, find, limit_memory, serve

__all__ = ["main"]


class _Services:
    """The handler's `StepServices`, over the channel. A child is not told to stop, it is killed."""

    is_cancelled = False

    def __init__(self, channel: Channel[ToChild]) -> None:
        self._channel = channel
        self._lock = threading.Lock()

    def heartbeat(self, progress: bytes | None) -> None:
        with self._lock:
            self._channel.send(Beat(progress))

    async def submit(self, request: TaskRequest) -> None:
        await asyncio.to_thread(self.submit_and_wait, request)

    def submit_and_wait(self, request: TaskRequest) -> None:
        answer = self._ask(Submit(request))
        if isinstance(answer, Submitted) and answer.error is not None:
            raise RetryableError(answer.error, code="submit_failed")

    async def publish(self, name: str, payload: bytes) -> None:
        await asyncio.to_thread(self.publish_and_wait, name, payload)

    def publish_and_wait(self, name: str, payload: bytes) -> None:
        answer = self._ask(Publish(name, payload))
        if isinstance(answer, Published) and answer.error is not None:
            raise EventError(answer.error, code=answer.code, next_step=answer.next_step)

    def _ask(self, question: Submit | Publish) -> ToChild:
        with self._lock:
            self._channel.send(question)
            answer = self._channel.receive()
        if answer is None:
            os._exit(1)  # the worker is gone, and nobody would read how this ends
        return answer


def main() -> None:
    """Serve the worker."""
    serve(ToChild, _answer)


def _answer(message: ToChild, channel: Channel[ToChild]) -> End:
    if not isinstance(message, Run):
        raise SystemExit("the worker has answered a question that nobody asked")
    return End(contained(message.memory_mb, lambda: _run(message, _Services(channel))))


def _run(message: Run, services: _Services) -> CallEnd:
    definition = _found(message.place, message.path)
    limit_memory(message.memory_mb)
    if definition.is_async:
        return asyncio.run(run_async(definition, message.call, services))
    return run_plain(definition, message.call, services)


def _found(place: str, path: list[str]) -> HandlerDefinition:
    definition = definition_of(find(place, path))
    if definition is None:
        raise ConfigurationError(f"{place} is no step handler in the child process")
    return definition


if __name__ == "__main__":
    main()
