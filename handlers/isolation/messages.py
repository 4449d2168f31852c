"""What a worker and the child process of a step handler say to each other."""

from __future__ import annotations

import msgspec

from tasker_kafka.handlers.calls import StepCall
from tasker_kafka.handlers.results import Completed, Failed
from tasker_kafka.schemas.records import TaskRequest

__all__ = ["Beat", "End", "FromChild", "Publish", "Published", "Run", "Submit", "Submitted", "ToChild"]


class Run(msgspec.Struct, frozen=True, tag=True):
    """To the child: run this. `place` is where the handler is imported from."""

    place: str
    path: list[str]
    memory_mb: int | None
    call: StepCall


class Beat(msgspec.Struct, frozen=True, tag=True):
    """From the child: a heartbeat."""

    progress: bytes | None


class Submit(msgspec.Struct, frozen=True, tag=True):
    """From the child: write this request, and answer."""

    request: TaskRequest


class Submitted(msgspec.Struct, frozen=True, tag=True):
    """To the child: the request is acknowledged, or why not."""

    error: str | None


class Publish(msgspec.Struct, frozen=True, tag=True):
    """From the child: take in this event, and answer."""

    name: str
    payload: bytes


class Published(msgspec.Struct, frozen=True, tag=True):
    """To the child: the event is taken in, or why not (`EventError`'s message, code and way out)."""

    error: str | None = None
    code: str = ""
    next_step: str | None = None


class End(msgspec.Struct, frozen=True, tag=True):
    """From the child: how the call ended."""

    end: Completed | Failed


ToChild = Run | Submitted | Published
FromChild = Beat | Submit | Publish | End
