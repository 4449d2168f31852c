"""The child's side: serves one call after the other, as its parent asks, until that hangs up.

Standard output goes to standard error; the socket is the only way to the parent. A child ends with its parent,
however that ends, because the socket closes.
"""

from __future__ import annotations

import importlib
import os
import signal
import socket
import sys
from collections.abc import Callable, Sequence
from functools import reduce
from typing import Any, Final, TypeVar

import msgspec

from tasker_kafka.handlers.failures import end_of_error
from tasker_kafka.handlers.results import Failed
from tasker_kafka.schemas.records import Failure

from .channel import Channel

__all__ = ["contained", "find", "is_memory_limit", "limit_memory", "serve"]

_MIB: Final = 1024 * 1024
_MEMORY_LIMIT: Final = "memory_limit"

OrderT = TypeVar("OrderT")
EndT = TypeVar("EndT")


def serve(kind: Any, answer: Callable[[OrderT, Channel[Any]], msgspec.Struct]) -> None:
    """Answer each message of the parent, at the socket whose descriptor is this process's argument.

    kind: what the parent sends
    answer: makes the last message of a call; it may talk over the channel before that
    """
    standard_output = os.dup(2)
    os.dup2(standard_output, 1)
    # Ctrl-C in a terminal reaches the whole group; the parent decides about its children.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    channel: Channel[Any] = Channel(socket.socket(fileno=int(sys.argv[1])), kind)
    while (order := channel.receive()) is not None:
        channel.send(answer(order, channel))


def find(place: str, path: Sequence[str] | None = None) -> Any:
    """What lies at `module:qualified.name`; `path`: the parent's `sys.path`. ImportError, AttributeError."""
    if path is not None:
        sys.path[:] = path
    module, _, name = place.partition(":")
    return reduce(getattr, name.split("."), importlib.import_module(module))


def contained(memory_mb: int | None, call: Callable[[], EndT]) -> EndT | Failed:
    """Make a call; whatever it raises is how it ends. `memory_mb`: the limit that it sets itself, for the text."""
    try:
        end = call()
    except MemoryError:
        return _out_of_memory(memory_mb)
    except BaseException as error:
        return end_of_error(error)
    if isinstance(end, Failed) and end.failure.type == "MemoryError":
        return _out_of_memory(memory_mb)
    return end


def limit_memory(memory_mb: int | None) -> None:
    """Let this process have so many MiB of address space; None: no change. Before that, import what is needed."""
    if memory_mb is None:
        return
    import resource

    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (memory_mb * _MIB, hard))


def is_memory_limit(failure: Failure) -> bool:
    """Whether memory ran out: then nobody knows what is left of the process, and it serves no further call."""
    return failure.code == _MEMORY_LIMIT


def _out_of_memory(memory_mb: int | None) -> Failed:
    message = (
        f"the handler used more than {memory_mb} MiB" if memory_mb else "the handler found no more memory"
    )
    return Failed(Failure(type="MemoryError", code=_MEMORY_LIMIT, message=message))
