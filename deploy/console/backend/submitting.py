"""Takes task requests: refuses at once what intake would refuse, and never makes two tasks of one request.

A request is checked with intake's own rules against the template as it is published now, so that a caller hears of a
wrong context with its path and not later, from a rejection. Intake decides all the same.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

import msgspec

from tasker_kafka.schemas.errors import RequestRejected, TaskFailed, WaitTimeout
from tasker_kafka.schemas.identity import canonical_json, format_id, new_request_id
from tasker_kafka.schemas.plan import Plan
from tasker_kafka.schemas.records import TaskCreated, TaskRequest
from tasker_kafka.schemas.redaction import redact
from tasker_kafka.schemas.schema_check import schema_for
from tasker_kafka.schemas.words import RejectionCode, TaskStatus
from tasker_kafka.streams.lane.requests import Refused, check_request
from tasker_kafka.streams.projection import StoredHistory, TaskRow
from tasker_kafka.topics.handle import TaskHandle

from .broker import Broker, Live
from .errors import InvalidInput, RequestRefused
from .shapes import Submitted, WrittenAt

__all__ = ["submit"]

FindTask = Callable[[bytes], Awaitable[tuple[TaskRow, StoredHistory | None] | None]]
"""The row and the newest life of a task that is there already."""
_PATHS: Final[Mapping[str, str]] = {
    RejectionCode.UNKNOWN_TEMPLATE: "name",
    RejectionCode.MISSING_IDEMPOTENCY_KEY: "idempotency_key",
    RejectionCode.INVALID_CONTEXT: "context",
}


async def submit(
    broker: Broker, find_task: FindTask, request: TaskRequest, *, wait: float | None, now: int
) -> Submitted:
    """Send a request; wait up to `wait` seconds for its task's end (None or 0: not at all).

    `request.request_id`: the same is the same request; None: a new one. RequestRefused when it is refused, also for a
    task that is there already (`duplicate`); BrokerUnavailable when it cannot be sent.
    """
    ready = msgspec.structs.replace(request, request_id=request.request_id or new_request_id(now))
    assert ready.request_id is not None, "it was given one"
    is_repeat = request.request_id is not None

    async def work(live: Live) -> Submitted:
        try:
            task_id = await live.client.task_id_for(ready, ready.request_id or b"")
        except RequestRejected as error:
            raise _refused(error) from error
        _check(ready, live)
        known = await find_task(task_id)
        if known is not None:
            return _known(*known, ready)
        handle = await live.client.send(ready if is_repeat else request, is_followed=bool(wait))
        return await _outcome(handle, ready, wait)

    return await broker.use(work)


def _check(request: TaskRequest, live: Live) -> None:
    plan: Plan | None = live.plans.resolve(request.namespace, request.name, request.version)
    if plan is None:
        return
    refused = check_request(request, plan)
    if refused is not None:
        raise RequestRefused(refused.message, code=refused.code, errors=_errors(refused, request, plan))


def _errors(refused: Refused, request: TaskRequest, plan: Plan) -> tuple[tuple[str, str], ...]:
    """Every violation of the template's schema with its path; else the one fault there is."""
    if refused.code is RejectionCode.INVALID_CONTEXT and plan.input_schema is not None:
        schema = schema_for(plan.input_schema)
        try:
            found = schema.violations(schema.with_defaults(json.loads(request.context)), root="context")
        except ValueError:
            found = ()
        if found:
            return tuple((each.path, each.message) for each in found)
    return ((refused.path or "", refused.message),)


def _known(row: TaskRow, history: StoredHistory | None, request: TaskRequest) -> Submitted:
    name = format_id(row.task_id)
    if row.request_id != request.request_id:
        raise RequestRefused(
            f"this request is task {name} already, which is {row.state}",
            code=RejectionCode.DUPLICATE,
            task_id=row.task_id,
            next_step=f"GET /tasks/{name} shows it",
        )
    if history is not None and (other := _difference(history, request)) is not None:
        raise InvalidInput(
            (("Idempotency-Key", f"was used for task {name}, which has another {other}"),),
            next_step="another request needs another key; the same one must be sent as it was",
        )
    return Submitted(
        task_id=row.task_id, request_id=row.request_id, written=None, state=row.state, is_repeat=True
    )


def _difference(history: StoredHistory, request: TaskRequest) -> str | None:
    """What a second request under the same id asks otherwise than the first; None: nothing, as far as can be seen."""
    plan, first = history.plan, history.records[0].record.transitions[0].data
    if (request.namespace, request.name) != (plan.namespace, plan.name):
        return "template"
    if not isinstance(first, TaskCreated) or not isinstance(first.context, bytes):
        return None  # a large context lies elsewhere
    context = json.loads(request.context)
    if plan.input_schema is not None:
        context = schema_for(plan.input_schema).with_defaults(context)
    same = canonical_json(json.dumps(context).encode()) == canonical_json(first.context)
    return None if same else "context"


async def _outcome(handle: TaskHandle, request: TaskRequest, wait: float | None) -> Submitted:
    state: TaskStatus | None = None
    output: Any = None
    if wait:
        try:
            output = redact(await handle.result(wait))
            state = TaskStatus.COMPLETE
        except TaskFailed as error:
            state = TaskStatus(error.state)
        except RequestRejected as error:
            raise _refused(error, handle.task_id) from error
        except WaitTimeout:
            state = (await handle.status()).state
    place = handle.place
    return Submitted(
        task_id=handle.task_id,
        request_id=request.request_id or handle.task_id,
        written=None if place is None else WrittenAt(*place),
        state=state,
        output=output,
    )


def _refused(error: RequestRejected, task_id: bytes | None = None) -> RequestRefused:
    is_duplicate = error.code == RejectionCode.DUPLICATE
    return RequestRefused(
        error.message,
        code=error.code,
        errors=((_PATHS[error.code], error.message),) if error.code in _PATHS else (),
        task_id=task_id if is_duplicate else None,
        next_step=error.next_step,
    )
