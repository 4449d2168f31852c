"""The child process: runs one call after the other, as its worker asks, until the worker hangs up.

Started as `python -m tasker_kafka.handlers.isolation.child FD`. Standard output goes to standard error; the
socket `FD` is the only way to the worker. It ends with the worker, however that ends, because the socket closes.
"""

from __future__ import annotations

import asyncio
import importlib
import os
import signal
import socket
import sys
import threading
from functools import reduce

from tasker_kafka.handlers.calls import StepCall
from tasker_kafka.handlers.definition import HandlerDefinition, definition_of
from tasker_kafka.handlers.errors import RetryableError
from tasker_kafka.handlers.execution import run_async, run_plain
from tasker_kafka.handlers.failures import end_of_error
from tasker_kafka.handlers.publishing.errors import EventError
from tasker_kafka.handlers.results import CallEnd, Failed
from tasker_kafka.schemas.errors import ConfigurationError
from tasker_kafka.schemas.records import Failure, TaskRequest

from .messages import Beat, End, Message, Publish, Published, Run, Submit, Submitted, receive, send

__all__ = ["main"]

_MIB = 1024 * 1024


class _Services:
    """The handler's `StepServices`, over the socket. A child is not told to stop, it is killed."""

    is_cancelled = False

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._lock = threading.Lock()

    def heartbeat(self, progress: bytes | None) -> None:
        with self._lock:
            send(self._connection, Beat(progress))

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

    def _ask(self, question: Submit | Publish) -> Message:
        with self._lock:
            send(self._connection, question)
            answer = receive(self._connection)
        if answer is None:
            os._exit(1)  # the worker is gone, and nobody would read how this ends
        return answer


def main(descriptor: int) -> None:
    """Serve the worker at the other end of this socket."""
    # Ctrl-C in a terminal reaches the whole group; the worker decides about its children.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    connection = socket.socket(fileno=descriptor)
    while isinstance(message := receive(connection), Run):
        send(connection, End(_run(message, _Services(connection))))


def _run(message: Run, services: _Services) -> CallEnd:
    try:
        definition = _find(message.place, message.path)
        if message.memory_mb is not None:
            _limit_memory(message.memory_mb)
        return _execute(definition, message.call, services)
    except MemoryError:
        return _out_of_memory(message.memory_mb)
    except BaseException as error:
        return end_of_error(error)


def _execute(definition: HandlerDefinition, call: StepCall, services: _Services) -> CallEnd:
    if definition.is_async:
        end = asyncio.run(run_async(definition, call, services))
    else:
        end = run_plain(definition, call, services)
    if isinstance(end, Failed) and end.failure.type == "MemoryError":
        return _out_of_memory(definition.memory_mb)
    return end


def _find(place: str, path: list[str]) -> HandlerDefinition:
    sys.path[:] = path
    module, _, name = place.partition(":")
    found = definition_of(reduce(getattr, name.split("."), importlib.import_module(module)))
    if found is None:
        raise ConfigurationError(f"{place} is no step handler in the child process")
    return found


def _limit_memory(memory_mb: int) -> None:
    import resource

    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (memory_mb * _MIB, hard))


def _out_of_memory(memory_mb: int | None) -> Failed:
    message = (
        f"the handler used more than {memory_mb} MiB" if memory_mb else "the handler found no more memory"
    )
    return Failed(Failure(type="MemoryError", code="memory_limit", message=message))


if __name__ == "__main__":
    standard_output = os.dup(2)
    os.dup2(standard_output, 1)
    main(int(sys.argv[1]))
