"""Requests made before the clock runs: encoding them is the load's work, and the load shares the processors."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from tasker_kafka.schemas.codec import codec
from tasker_kafka.schemas.identity import new_request_id
from tasker_kafka.schemas.plan import Plan
from tasker_kafka.schemas.records import TaskRequest
from tasker_kafka.topics.log import Write

__all__ = ["RequestMaker"]

_MARK: Final = bytes(range(0xE0, 0xF0))
"""Stands for the request id in the encoded pattern; no name or setting holds these bytes."""


class RequestMaker:
    """Makes encoded requests of one template that differ in their ids only. The id is the task's id, too."""

    def __init__(self, plan: Plan, topic: str, *, bypass_steps: tuple[str, ...] = ()) -> None:
        """bypass_steps: completed at once, without running."""
        pattern = codec.encode(
            TaskRequest(
                name=plan.name,
                namespace=plan.namespace,
                context=b"{}",
                request_id=_MARK,
                bypass_steps=bypass_steps,
            )
        )
        self._head, found, self._tail = pattern.partition(_MARK)
        if not found or _MARK in self._tail:
            raise AssertionError("the id does not stand as it is, once, in an encoded request")
        self._topic = topic
        self._plan = plan

    def make(self, count: int) -> list[Write]:
        """`count` new requests."""
        return [self._write(new_request_id()) for _ in range(count)]

    def make_for(self, times: Iterable[int]) -> list[Write]:
        """A new request for each of these broker times (ms), before which its task does not start."""
        made: list[Write] = []
        for at in times:
            request = TaskRequest(
                name=self._plan.name,
                namespace=self._plan.namespace,
                context=b"{}",
                request_id=new_request_id(),
                not_before=at,
            )
            made.append(Write(self._topic, request.request_id, codec.encode(request)))
        return made

    def _write(self, request_id: bytes) -> Write:
        return Write(self._topic, request_id, self._head + request_id + self._tail)
