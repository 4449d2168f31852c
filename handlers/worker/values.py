"""Payloads of a dispatch and its answer: inline, or by reference to the payloads topic."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Protocol, TypeVar

from tasker_kafka.handlers.calls import StepCall
from tasker_kafka.schemas.errors import LogError
from tasker_kafka.schemas.records import Dispatch, PayloadRef, Value

from .settings import WorkerSettings
from .steps import PreparedStep

__all__ = ["PayloadStore", "Values"]

T = TypeVar("T")

_logger = logging.getLogger(__name__)


class PayloadStore(Protocol):
    """The payloads topic (`topics.payloads.Payloads`)."""

    async def store(self, task_id: bytes, data: bytes) -> PayloadRef:
        """Write a payload; returns when it is acknowledged."""
        ...

    async def fetch(self, ref: PayloadRef) -> bytes:
        """Read one back, checked. NotFoundError when it is gone."""
        ...


class Values:
    """Makes calls of dispatches and values of results. What fails on the log is tried again without end."""

    def __init__(self, payloads: PayloadStore, settings: WorkerSettings, worker_id: str) -> None:
        self._payloads = payloads
        self._settings = settings
        self._worker_id = worker_id

    def call_at_hand(self, dispatch: Dispatch, prepared: PreparedStep) -> StepCall | None:
        """The call that a dispatch asks for; None when something of it lies in the payloads topic."""
        context = dispatch.context
        if not isinstance(context, bytes):
            return None
        inputs: dict[str, bytes | None] = {}
        for each in dispatch.inputs:
            value = each.value
            if isinstance(value, PayloadRef):
                return None
            inputs[each.step] = value
        return self._call(dispatch, prepared, context, inputs)

    async def call_for(self, dispatch: Dispatch, prepared: PreparedStep) -> StepCall:
        """The call that a dispatch asks for, references resolved. TaskerError: a payload is gone or damaged."""
        context = await self._bytes_of(dispatch.context) or b"null"
        inputs = {each.step: await self._bytes_of(each.value) for each in dispatch.inputs}
        return self._call(dispatch, prepared, context, inputs)

    def _call(
        self, dispatch: Dispatch, prepared: PreparedStep, context: bytes, inputs: dict[str, bytes | None]
    ) -> StepCall:
        return StepCall(
            handler=dispatch.handler,
            task_id=dispatch.task_id,
            life=dispatch.life,
            step=dispatch.step,
            attempt=dispatch.attempt,
            is_last_attempt=dispatch.last_attempt,
            correlation_id=dispatch.correlation_id,
            context=context,
            inputs=inputs,
            config=prepared.step.config,
            traceparent=dispatch.traceparent,
            worker_id=self._worker_id,
        )

    async def keep(self, task_id: bytes, data: bytes) -> PayloadRef:
        """Store what is too large to travel inline."""
        return await self._persistently(lambda: self._payloads.store(task_id, data))

    async def _bytes_of(self, value: Value) -> bytes | None:
        if not isinstance(value, PayloadRef):
            return value
        return await self._persistently(lambda: self._payloads.fetch(value))

    async def _persistently(self, action: Callable[[], Awaitable[T]]) -> T:
        delay = self._settings.retry_seconds
        while True:
            try:
                return await action()
            except LogError as error:
                if not error.retryable:
                    raise
                _logger.warning("payloads cannot be reached, trying again: %s", error.message)
            await asyncio.sleep(delay)
            delay = min(delay * 2, self._settings.retry_max_seconds)
