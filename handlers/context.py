"""What a running handler knows about its attempt and may ask for."""

from __future__ import annotations

import copy
import itertools
import logging
from collections.abc import MutableMapping
from functools import cached_property
from typing import Any, TypeVar, overload

import msgspec
from pydantic import TypeAdapter, ValidationError
from pydantic_core import PydanticSerializationError, to_json

from tasker_kafka.schemas.errors import ConfigurationError
from tasker_kafka.schemas.identity import format_id, task_id_for
from tasker_kafka.schemas.records import TaskRequest
from tasker_kafka.schemas.words import Identity

from .calls import StepCall, StepServices
from .errors import InputError, StepCancelled
from .publishing.payloads import encoded_payload

__all__ = ["StepContext"]

T = TypeVar("T")

_logger = logging.getLogger("tasker.step")


class StepContext:
    """The attempt in hand, for async and plain handlers alike.

    Async handlers await `submit` and `publish`; plain functions, which run in a thread, call `submit_and_wait` and
    `publish_and_wait`. Everything else is the same in both and safe in threads.
    """

    __slots__ = ("__dict__", "_call", "_places", "_services")

    def __init__(self, call: StepCall, services: StepServices) -> None:
        self._call = call
        self._services = services
        self._places = itertools.count(1)

    # ------------------------------------------------------------------------------------ who and where

    @cached_property
    def task_id(self) -> str:
        """The task's id as UUID text."""
        return format_id(self._call.task_id)

    @property
    def life(self) -> int:
        """Which life of the task this is."""
        return self._call.life

    @property
    def step(self) -> str:
        """The step's name in its template."""
        return self._call.step

    @property
    def attempt(self) -> int:
        """Number of this attempt; the first is 1, and none ever repeats."""
        return self._call.attempt

    @property
    def is_last_retry(self) -> bool:
        """No further attempt is granted if this one fails."""
        return self._call.is_last_attempt

    @property
    def correlation_id(self) -> str:
        """The same for everything that one story caused, over tasks and events."""
        return self._call.correlation_id

    @cached_property
    def idempotency_key(self) -> str:
        """The same for every attempt and redelivery of this step: `task/life/step`. Give it to payment services."""
        return f"{self.task_id}/{self._call.life}/{self._call.step}"

    @cached_property
    def attempt_id(self) -> str:
        """The same for every redelivery of this attempt: `task/life/step/attempt`."""
        return f"{self.idempotency_key}/{self._call.attempt}"

    @property
    def worker_id(self) -> str:
        """The worker that runs the handler."""
        return self._call.worker_id

    @cached_property
    def logger(self) -> logging.LoggerAdapter[logging.Logger]:
        """Logs to `tasker.step` with task_id, step, attempt and correlation_id on every record."""
        ids = {
            "task_id": self.task_id,
            "step": self.step,
            "attempt": self.attempt,
            "correlation_id": self.correlation_id,
            "handler": self._call.handler,
        }
        return _StepLogger(_logger, ids)

    # ------------------------------------------------------------------------------------------- inputs

    @cached_property
    def config(self) -> dict[str, Any]:
        """The template's `handler.initialization`; the handler's own copy."""
        return copy.deepcopy(self._call.config)

    @cached_property
    def task_context(self) -> dict[str, Any]:
        """The context that the task was requested with, defaults filled in."""
        found: dict[str, Any] = msgspec.json.decode(self._call.context)
        return found

    @overload
    def dependency_result(self, name: str) -> Any: ...

    @overload
    def dependency_result(self, name: str, as_type: type[T]) -> T: ...

    def dependency_result(self, name: str, as_type: type[T] | None = None) -> Any:
        """A direct parent's result, as `as_type` if given; None when the parent was bypassed or resolved by hand.

        InputError (a permanent failure) when `name` is no direct parent or its result is no `as_type`.
        """
        if name not in self._call.inputs:
            known = ", ".join(sorted(self._call.inputs)) or "none"
            raise InputError(f"step {self.step} has no direct parent {name!r}; its parents: {known}")
        data = self._call.inputs[name]
        if as_type is None or data is None:
            return None if data is None else msgspec.json.decode(data)
        try:
            return TypeAdapter(as_type).validate_json(data)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            place = ".".join(["$", *map(str, first["loc"])])
            raise InputError(f"result of {name} at {place}: {first['msg']}") from None

    # ----------------------------------------------------------------------------------------- liveness

    def heartbeat(self, progress: object = None) -> None:
        """Tell that the handler is alive, and how far it is (a value JSON can carry). Never waits.

        The worker sends heartbeats by itself; this one adds progress. It does not extend the step's timeout.
        """
        try:
            data = None if progress is None else to_json(progress)
        except PydanticSerializationError as error:
            raise ConfigurationError(f"progress cannot be JSON: {error}") from None
        self._services.heartbeat(data)

    @property
    def cancelled(self) -> bool:
        """The task or step was cancelled, or the time is up: stop soon. Async handlers get CancelledError too."""
        return self._services.is_cancelled

    def raise_if_cancelled(self) -> None:
        """StepCancelled when the attempt is to stop."""
        if self._services.is_cancelled:
            raise StepCancelled(f"step {self.step} was told to stop")

    # --------------------------------------------------------------------------------------- what it causes

    async def submit(
        self,
        template: str,
        context: object = None,
        *,
        key: str | None = None,
        namespace: str = "default",
        version: str | None = None,
        tags: tuple[str, ...] = (),
    ) -> str:
        """Request a further task; returns its id once the request is acknowledged.

        `context` is a mapping or model. Repeats of this step (later attempts, redeliveries) name the same task,
        because the idempotency key is made of task, life, step and the place among the step's submits; `key`
        replaces it, for steps whose submits vary in number or order.
        """
        request, task_id = self._request(
            template, context, key=key, namespace=namespace, version=version, tags=tags
        )
        await self._services.submit(request)
        return format_id(task_id)

    def submit_and_wait(
        self,
        template: str,
        context: object = None,
        *,
        key: str | None = None,
        namespace: str = "default",
        version: str | None = None,
        tags: tuple[str, ...] = (),
    ) -> str:
        """`submit` for handlers that are plain functions: blocks the thread until the request is acknowledged."""
        request, task_id = self._request(
            template, context, key=key, namespace=namespace, version=version, tags=tags
        )
        self._services.submit_and_wait(request)
        return format_id(task_id)

    async def publish(self, name: str, payload: object = None) -> None:
        """Publish a domain event that the step declares; returns once it is checked and taken in.

        `payload` is a mapping, model or dataclass; None is `{}`. Durable and acknowledged events are published if
        this attempt's result is accepted and their condition fits it, and not at all otherwise; fire-and-forget
        ones leave once the result is acknowledged. EventError (a permanent failure): the step does not declare the
        event, or the payload is not as declared; it names the path.
        """
        await self._services.publish(name, encoded_payload(name, payload))

    def publish_and_wait(self, name: str, payload: object = None) -> None:
        """`publish` for handlers that are plain functions."""
        self._services.publish_and_wait(name, encoded_payload(name, payload))

    def _request(
        self,
        template: str,
        context: object,
        *,
        key: str | None,
        namespace: str,
        version: str | None,
        tags: tuple[str, ...],
    ) -> tuple[TaskRequest, bytes]:
        used = key or f"{self.idempotency_key}/{next(self._places)}"
        data = b"{}" if context is None else to_json(context)
        task_id = task_id_for(
            identity=Identity.ALWAYS_UNIQUE,
            namespace=namespace,
            name=template,
            version_text=version,
            context=data,
            idempotency_key=used,
            request_id=b"",
        )
        request = TaskRequest(
            name=template,
            context=data,
            namespace=namespace,
            version=version,
            # The same for every repeat of this submit: then the engine ignores a repeat instead of rejecting it.
            request_id=task_id,
            initiator=f"step:{self.step}",
            source_system="tasker",
            reason=f"submitted by {self.attempt_id}",
            tags=tags,
            idempotency_key=used,
            correlation_id=self.correlation_id,
            traceparent=self._call.traceparent,
        )
        return request, task_id


class _StepLogger(logging.LoggerAdapter[logging.Logger]):
    """Adds the step's ids to the caller's own `extra`, where the library's adapter would replace it."""

    def process(self, msg: object, kwargs: MutableMapping[str, Any]) -> tuple[Any, MutableMapping[str, Any]]:
        """Called by the adapter for every message."""
        kwargs["extra"] = {**(self.extra or {}), **(kwargs.get("extra") or {})}
        return msg, kwargs
