"""The client: submit tasks, wait for their output, and command them.

A request is acknowledged by all in-sync replicas before `submit` returns, and its task's id is known before it is
sent: it is computed as intake computes it, from the published template's identity. So a caller that crashes may
send again with the same `request_id` or `idempotency_key`, and it is the same task.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Mapping
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Any, Final, Self, TypedDict, Unpack
from uuid import UUID

from tasker_kafka.schemas.codec import Codec
from tasker_kafka.schemas.codec import codec as default_codec
from tasker_kafka.schemas.errors import (
    CommandRejected,
    ConfigurationError,
    DecodeError,
    EncodeError,
    NotFoundError,
    RequestRejected,
)
from tasker_kafka.schemas.identity import format_id, new_request_id, parse_id, task_id_for
from tasker_kafka.schemas.limits import CONTEXT_BYTES, MIN_INLINE_BYTES, RESULT_BYTES
from tasker_kafka.schemas.plan import Plan
from tasker_kafka.schemas.records import Answer, Command, OperatorCommand, TaskRequest
from tasker_kafka.schemas.words import Identity, OperatorAction, RejectionCode, is_obeyed

from .connecting import log_at, names_under
from .crash_points import NO_CRASH_POINTS, ClientCrashPoint, CrashPoints
from .following import Following
from .handle import TaskHandle
from .headers import for_trace
from .log import Log, Outbox, TopicPartitionOffset, Write
from .names import TopicNames
from .operators import CommandDetails, CommandMethods, CommandOptions, TaskReference
from .payloads import Payloads
from .plans import PlanStore
from .progress import AnswerProgress, TaskProgress

__all__ = ["RequestOptions", "TaskClient"]

ANSWER_SECONDS: Final = 30.0
_MANY_AT_ONCE: Final = 5000


class RequestOptions(TypedDict, total=False):
    """What a request may carry beside its template and context."""

    namespace: str
    version: str | None
    """None: the latest when it is accepted."""
    idempotency_key: str | None
    """The same key is the same task."""
    request_id: bytes | None
    """A UUIDv7; give it when the same request is sent again."""
    initiator: str
    source_system: str
    reason: str
    tags: tuple[str, ...]
    bypass_steps: tuple[str, ...]
    """Steps that are completed at once, without running."""
    correlation_id: str | None
    not_before: int | None
    """Broker time in ms before which the task does not start."""
    traceparent: str | None


class TaskClient(CommandMethods):
    """One connection to one system. Use as `async with`, or `start` and `close`.

    `plans`: a started store of templates to share; without one the client follows the templates itself.
    """

    def __init__(
        self,
        log: Log,
        names: TopicNames,
        plans: PlanStore | None = None,
        *,
        codec: Codec = default_codec,
        actor: str = "unknown",
        crash_points: CrashPoints[ClientCrashPoint] = NO_CRASH_POINTS,
    ) -> None:
        self._log = log
        self._reached = crash_points.reached
        self._names = names
        self._codec = codec
        self._actor = actor
        self._owns_log = False
        self._shared_plans = plans
        self._plans = plans if plans is not None else PlanStore(log, names, codec=codec)
        self._following = Following(log, names, codec, self._plans)
        self._outbox: Outbox | None = None
        self._known: set[str] = set()
        self._open = AsyncExitStack()

    @classmethod
    def connect(cls, bootstrap: str | None = None, prefix: str | None = None) -> Self:
        """A client of the Kafka at `bootstrap` (default: TASKER_BROKER), under `prefix` (TASKER_PREFIX, `tasker`).

        Not yet started. For TLS and SASL make the log from settings and pass it to the constructor; for a schema
        registry pass a codec that has it.
        """
        client = cls(log_at(bootstrap), names_under(prefix))
        client._owns_log = True
        return client

    async def start(self) -> None:
        """Connect. BrokerUnavailable or TopicsDrifted when that fails."""
        async with AsyncExitStack() as opened:
            if self._owns_log:
                await self._log.start()
                opened.push_async_callback(self._log.close)
            self._outbox = await self._log.outbox(client_id=f"{self._names.prefix}-client")
            opened.push_async_callback(self._outbox.close)
            if self._shared_plans is None:
                await self._plans.start()
                opened.push_async_callback(self._plans.stop)
            opened.push_async_callback(self._following.close)
            self._open = opened.pop_all()

    async def close(self) -> None:
        """Stop waiting and reading; what was acknowledged stays."""
        await self._open.aclose()
        self._outbox = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    # ------------------------------------------------------------------------------------------- tasks

    async def submit(
        self,
        template: str,
        context: Mapping[str, Any] | bytes | None = None,
        **options: Unpack[RequestOptions],
    ) -> TaskHandle:
        """Send a request; returns once it is acknowledged.

        context: a JSON object, or its bytes. RequestRejected when no such template is published, or the request
        lacks what its id is made of; every other rejection reaches whoever waits on the handle.
        """
        return await self.send(self.request(template, context, **options))

    async def run(
        self,
        template: str,
        context: Mapping[str, Any] | bytes | None = None,
        *,
        timeout: float | None = None,
        **options: Unpack[RequestOptions],
    ) -> Any:
        """Submit and wait: the task's own output. Errors as `TaskHandle.result`."""
        handle = await self.submit(template, context, **options)
        return await handle.result(timeout)

    async def submit_many(self, requests: Iterable[TaskRequest]) -> list[TaskHandle]:
        """Send many requests at once; returns when all are acknowledged. Handles in the order of `requests`."""
        handles: list[TaskHandle] = []
        waiting = list(requests)
        for first in range(0, len(waiting), _MANY_AT_ONCE):
            part = waiting[first : first + _MANY_AT_ONCE]
            handles += await asyncio.gather(*(self.send(each) for each in part))
        return handles

    def request(
        self,
        template: str,
        context: Mapping[str, Any] | bytes | None = None,
        **options: Unpack[RequestOptions],
    ) -> TaskRequest:
        """A request for `submit_many` or `send`. EncodeError or LimitExceeded when the context cannot travel."""
        data = (
            context
            if isinstance(context, bytes)
            else _json({} if context is None else context, "the context")
        )
        CONTEXT_BYTES.check(len(data))
        return TaskRequest(name=template, context=data, requested_at=self._log.now_ms(), **options)

    async def send(self, request: TaskRequest, *, is_followed: bool = True) -> TaskHandle:
        """As `submit`, for a request that is ready. is_followed: False where nobody will wait on the handle."""
        is_repeat = request.request_id is not None
        request_id = request.request_id or new_request_id(self._log.now_ms())
        task_id = await self.task_id_for(request, request_id)
        progress = TaskProgress(task_id, self._names, self._codec, request_id=request_id)
        if is_followed and is_repeat:
            await self._following.begin_earlier(progress, _made_at(request_id))
        elif is_followed:
            await self._following.begin(progress)
        ready = _with_id(request, request_id)
        headers = for_trace(request.traceparent)
        write = Write(self._names.task_requests, task_id, self._codec.encode(ready), headers)
        progress.place = await self._write(write)
        self._reached(ClientCrashPoint.REQUEST_ACKNOWLEDGED)
        return TaskHandle(self._following, progress)

    async def task_id_for(self, request: TaskRequest, request_id: bytes) -> bytes:
        """The id of the task that this request would make.

        RequestRejected for an unknown template, and where the id cannot be made of what the request holds.
        """
        plan = await self._plan(request)
        try:
            return task_id_for(
                identity=plan.identity,
                namespace=request.namespace,
                name=request.name,
                version_text=request.version,
                context=request.context,
                idempotency_key=request.idempotency_key,
                request_id=request_id,
            )
        except DecodeError as error:
            keyed = plan.identity is Identity.CALLER_PROVIDED
            code = RejectionCode.MISSING_IDEMPOTENCY_KEY if keyed else RejectionCode.INVALID_CONTEXT
            raise RequestRejected(error.message, code=code, next_step=error.next_step) from error

    async def task(self, task: bytes | str) -> TaskHandle:
        """A handle on a task that exists. NotFoundError when the log holds nothing of it.

        Reads the task's partition: from when its id was made, if the id tells that, or else from the beginning.
        """
        task_id = parse_id(task) if isinstance(task, str) else task
        progress = TaskProgress(task_id, self._names, self._codec)
        made_at = _made_at(task_id)
        await self._following.begin_earlier(progress, made_at)
        if progress.snapshot().state is None and made_at is not None:
            await self._following.begin_earlier(progress, None)  # the clock of whoever made the id was wrong
        if progress.snapshot().state is None:
            raise NotFoundError(
                f"no task {format_id(task_id)} in the log",
                next_step="just submitted? wait on the handle that `submit` gave; else check the id and the prefix",
            )
        return TaskHandle(self._following, progress)

    # ------------------------------------------------------------------------------------------- commands

    async def command(
        self,
        task: TaskReference,
        action: OperatorAction,
        details: CommandDetails,
        **options: Unpack[CommandOptions],
    ) -> Answer | None:
        """Send one command. Its answer; None with `wait=False`. CommandRejected or WaitTimeout."""
        task_id = _task_id(task)
        command_id = options.get("command_id") or new_request_id(self._log.now_ms())
        body = await self._body(task_id, command_id, action, details, options)
        progress = AnswerProgress(task_id, self._names, self._codec, command_id=command_id)
        is_awaited = options.get("wait", True)
        if is_awaited:
            await self._following.begin(progress)
        value = self._codec.encode(Command(task_id, body))
        progress.place = await self._write(Write(self._names.commands, task_id, value))
        self._reached(ClientCrashPoint.COMMAND_ACKNOWLEDGED)
        if (on_written := options.get("on_written")) is not None:
            on_written(progress.place)
        return (
            await self._answer(progress, action, options.get("timeout", ANSWER_SECONDS))
            if is_awaited
            else None
        )

    async def _answer(self, progress: AnswerProgress, action: OperatorAction, timeout: float) -> Answer:
        what = f"{action} of task {format_id(progress.key)}"
        await self._following.wait_ended(progress, timeout, what)
        if progress.failure is not None:
            raise progress.failure
        answer = progress.answer()
        assert answer is not None, "it has ended without failure"
        if is_obeyed(answer.code):
            return answer
        raise CommandRejected(f"{what} was refused: {answer.message}", code=answer.code)

    async def _body(
        self,
        task_id: bytes,
        command_id: bytes,
        action: OperatorAction,
        details: CommandDetails,
        options: CommandOptions,
    ) -> OperatorCommand:
        result = None
        if "result" in details:
            data = _json(details["result"], "the result")
            RESULT_BYTES.check(len(data))
            # The plan, whose limit counts, is not known here: the smallest limit of any plan fits every plan.
            result = await (await self._payloads()).value_for(task_id, data, MIN_INLINE_BYTES)
            if result is not data:
                self._reached(ClientCrashPoint.PAYLOAD_STORED)
        tags = details.get("tags")
        return OperatorCommand(
            command_id=command_id,
            action=action,
            actor=options.get("actor", self._actor),
            reason=options.get("reason", ""),
            life=options.get("life"),
            expected_seq=options.get("expected_seq"),
            steps=tuple(details.get("steps", ())),
            result=result,
            max_attempts=details.get("max_attempts"),
            text=details.get("text"),
            tags=None if tags is None else tuple(tags),
        )

    # ------------------------------------------------------------------------------------------- inside

    async def _plan(self, request: TaskRequest) -> Plan:
        wanted = (request.namespace, request.name, request.version)
        plan = self._plans.resolve(*wanted)
        if plan is None:
            await self._plans.catch_up()
            plan = self._plans.resolve(*wanted)
        if plan is not None:
            return plan
        version = "" if request.version is None else f" {request.version}"
        known = self._plans.versions(request.namespace, request.name)
        raise RequestRejected(
            f"no template {request.namespace}/{request.name}{version} is published",
            code=RejectionCode.UNKNOWN_TEMPLATE,
            next_step=f"published versions: {', '.join(known)}"
            if known
            else "publish it: `tasker template publish`",
        )

    async def _write(self, write: Write) -> TopicPartitionOffset:
        outbox = self._outbox
        if outbox is None:
            raise ConfigurationError("the client is not started", next_step="use `async with client:`")
        if write.topic not in self._known:
            await outbox.warm([write.topic])
            self._known.add(write.topic)
        return await outbox.write(write)

    async def _payloads(self) -> Payloads:
        outbox = self._outbox
        if outbox is not None and self._names.payloads not in self._known:
            await outbox.warm([self._names.payloads])
            self._known.add(self._names.payloads)
        return Payloads(self._log, self._names, outbox)


def _json(value: Any, what: str) -> bytes:
    try:
        return json.dumps(value, allow_nan=False, ensure_ascii=False, separators=(",", ":")).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise EncodeError(
            f"{what} is no JSON: {error}",
            next_step="use text, numbers, booleans, None, lists and dictionaries with text keys",
        ) from error


def _with_id(request: TaskRequest, request_id: bytes) -> TaskRequest:
    import msgspec

    return (
        request
        if request.request_id == request_id
        else msgspec.structs.replace(request, request_id=request_id)
    )


def _made_at(identifier: bytes) -> int | None:
    """When a UUIDv7 was made, ms; None for another kind of id."""
    uuid = UUID(bytes=identifier)
    return uuid.int >> 80 if uuid.version == 7 else None


def _task_id(task: TaskReference) -> bytes:
    if isinstance(task, TaskHandle):
        return task.task_id
    return parse_id(task) if isinstance(task, str) else task
