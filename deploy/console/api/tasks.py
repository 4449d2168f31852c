"""`/tasks`: submit, list, and everything about one task."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from enum import StrEnum
from typing import Annotated, Any, Final

from fastapi import APIRouter, Header, Query
from pydantic import Field
from sse_starlette import EventSourceResponse, ServerSentEvent
from starlette.responses import PlainTextResponse, Response

from tasker_kafka.deploy.console.backend import InvalidInput, RecordEvent, Submitted, id_of_key
from tasker_kafka.deploy.reading import mermaid
from tasker_kafka.schemas.plan import Plan
from tasker_kafka.schemas.records import TaskRequest
from tasker_kafka.schemas.words import CLOSED_TASK_STATES, StepStatus
from tasker_kafka.streams.domain.allowing import step_actions
from tasker_kafka.streams.domain.views import StepRelations, dag

from .answering import SCHEMAS, Operator, TheBackend, answer, answers
from .inputs import IdempotencyKey, Life, SubmitBody, TaskFilters, TaskId, Wait, time_of
from .shapes import (
    Graph,
    GraphEdge,
    GraphNode,
    StepAnswer,
    Steps,
    TaskAnswer,
    TaskEvents,
    TaskList,
    Transitions,
)

__all__ = ["GraphForm", "graph_answer", "graph_answers", "router"]

router: Final = APIRouter(tags=["tasks"])
_PING_SECONDS: Final = 15


class GraphForm(StrEnum):
    """How a graph is told."""

    JSON = "json"
    MERMAID = "mermaid"


class TaskListQuery(TaskFilters):
    """Filters and the page that is wanted."""

    limit: int = Field(default=50, ge=1, le=500, description="Rows at most.")
    cursor: str | None = Field(default=None, max_length=500, description="`next_cursor` of the page before.")
    with_counts: bool = Field(default=False, description="Count all that fit by state, too.")


def graph_answers() -> dict[str, Any]:
    """Keywords of a route that answers a graph, in either form."""
    made = answers(Graph, also=(404,))
    made["responses"][200]["content"]["text/plain"] = {"schema": {"type": "string"}}
    return made


@router.post(
    "/tasks",
    **answers(
        Submitted,
        status=202,
        text="The request lies in the log.",
        also=(409,),
        _200=(Submitted, "The task has ended within `wait`."),
    ),
)
async def submit(
    body: SubmitBody,
    backend: TheBackend,
    operator: Operator,
    key: IdempotencyKey = None,
    wait: Wait = 0.0,
) -> Response:
    """Submit a task. 422 names what is wrong in the context; 409 names the task that the request would repeat.

    The same `Idempotency-Key` is the same request: it is answered alike and makes one task.
    """
    given = body.model_dump(exclude={"context", "initiator"})
    request = TaskRequest(
        **given,
        context=json.dumps(body.context, ensure_ascii=False, separators=(",", ":")).encode(),
        initiator=body.initiator or operator.actor,
        requested_at=backend.now_ms(),
        request_id=None if key is None else id_of_key(key),
    )
    done = await backend.submit(request, wait=wait or None)
    return answer(done, 200 if done.state in CLOSED_TASK_STATES else 202)


@router.get("/tasks", **answers(TaskList))
async def list_tasks(query: Annotated[TaskListQuery, Query()], backend: TheBackend) -> Response:
    """Tasks, newest first, page by page."""
    wanted = query.query()
    page = await backend.tasks(wanted, limit=query.limit, cursor=query.cursor)
    counts = await backend.counts(wanted) if query.with_counts else None
    return answer(
        TaskList(
            tasks=page.rows,
            next_cursor=page.next_cursor,
            counts=None if counts is None else {str(state): count for state, count in counts.items()},
        )
    )


@router.get("/tasks/{task_id}", **answers(TaskAnswer, also=(404,)))
async def show_task(task_id: TaskId, backend: TheBackend, life: Life = None) -> Response:
    """One task in full: steps, attempts, results, errors, transitions, and what waits for whom."""
    return answer(TaskAnswer.of(await backend.task(task_id, life=life)))


@router.get("/tasks/{task_id}/steps", **answers(Steps, also=(404,)))
async def list_steps(task_id: TaskId, backend: TheBackend, life: Life = None) -> Response:
    """The steps with their attempts, readiness, and place in the graph."""
    details = await backend.task(task_id, life=life)
    state = details.report.state
    rows = zip(details.report.steps, details.readiness, details.dag, strict=True)
    return answer(
        Steps(
            task_id=task_id,
            seq=details.report.seq,
            steps=tuple(
                StepAnswer(
                    step=step,
                    readiness=readiness,
                    relations=relations,
                    allowed=step_actions(state, step.state) if details.is_newest else (),
                )
                for step, readiness, relations in rows
            ),
        )
    )


@router.get("/tasks/{task_id}/transitions", **answers(Transitions, also=(404,)))
async def list_transitions(task_id: TaskId, backend: TheBackend, life: Life = None) -> Response:
    """Every edge that was taken, with seq and offset, and every answer to a command."""
    report = (await backend.task(task_id, life=life)).report
    return answer(
        Transitions(
            task_id=task_id,
            life=report.life,
            partition=report.partition,
            transitions=report.transitions,
            answers=report.answers,
        )
    )


@router.get("/tasks/{task_id}/graph", **graph_answers())
async def show_graph(
    task_id: TaskId,
    backend: TheBackend,
    form: Annotated[GraphForm, Query(alias="format")] = GraphForm.JSON,
    life: Life = None,
) -> Response:
    """The DAG with the state of each step; `format=mermaid` as text for pages and documents."""
    details = await backend.task(task_id, life=life)
    return graph_answer(details.plan, form, details.dag, details.states())


@router.get("/tasks/{task_id}/domain-events", **answers(TaskEvents))
async def list_events(task_id: TaskId, backend: TheBackend) -> Response:
    """Domain events that the task published, each with its receipts and dead letters."""
    return answer(TaskEvents(events=await backend.events_of(task_id)))


@router.get("/tasks/{task_id}/as-of", **answers(TaskAnswer, also=(404,)))
async def show_as_of(
    task_id: TaskId,
    backend: TheBackend,
    at: Annotated[
        str,
        Query(
            max_length=64,
            description="A time with its zone, ms since 1970, or `offset:N` of the task's transitions partition.",
        ),
    ],
    life: Life = None,
) -> Response:
    """The task as it was at a time, or after a record."""
    moment, offset = _instant(at)
    return answer(TaskAnswer.of(await backend.as_of(task_id, moment, offset=offset, life=life)))


_EVENT: Final = {
    "type": "object",
    "properties": {
        "id": {"type": "string"},
        "event": {"const": "record"},
        "data": {
            "type": "string",
            "contentMediaType": "application/json",
            "contentSchema": SCHEMAS.of(RecordEvent),
        },
    },
    "required": ["id", "event", "data"],
}
_EVENTS: Final[dict[str, Any]] = answers(RecordEvent, also=(404,))
_EVENTS["responses"][200] = {
    "description": "A stream of these events; `id` is the offset, `data` a RecordEvent.",
    "content": {"text/event-stream": {"schema": _EVENT}},
}
_EVENTS["response_class"] = EventSourceResponse
_EVENTS["responses"][204] = {"description": "The task is final and everything was told: do not come again."}


@router.get("/tasks/{task_id}/events", **_EVENTS)
async def stream_events(
    task_id: TaskId,
    backend: TheBackend,
    last_event_id: Annotated[
        int | None, Header(alias="Last-Event-ID", ge=0, le=2**63 - 1, description="Offset to go on after.")
    ] = None,
    follow: Annotated[bool, Query(description="false: end with what is there.")] = True,
) -> Response:
    """The task's records as server-sent events, from the first of its newest life or after `Last-Event-ID`.

    The stream ends when the task is final. A client that comes again with the last id loses and doubles nothing.
    """
    records = backend.follow(task_id, after=last_event_id, is_following=follow)
    try:
        first = await anext(records)  # errors come before the stream begins
    except StopAsyncIteration:
        return Response(status_code=204)
    except BaseException:
        await records.aclose()
        raise
    return EventSourceResponse(_stream(first, records), ping=_PING_SECONDS)


def graph_answer(
    plan: Plan,
    form: GraphForm,
    relations: tuple[StepRelations, ...] | None = None,
    states: dict[str, StepStatus] | None = None,
) -> Response:
    """A plan's graph in the form that is wanted."""
    if form is GraphForm.MERMAID:
        return PlainTextResponse(mermaid(plan, states))
    rows = dag(plan) if relations is None else relations
    return answer(
        Graph(
            namespace=plan.namespace,
            template=plan.name,
            version=plan.version,
            nodes=tuple(
                GraphNode(
                    name=step.name,
                    handler=step.handler,
                    queue=step.queue,
                    state=None if states is None else states.get(step.name),
                    level=row.dependency_level,
                )
                for step, row in zip(plan.steps, rows, strict=True)
            ),
            edges=tuple(GraphEdge(parent, step.name) for step in plan.steps for parent in step.parents),
        )
    )


async def _stream(
    first: RecordEvent | None, rest: AsyncGenerator[RecordEvent | None, None]
) -> AsyncIterator[ServerSentEvent]:
    async with aclosing(rest):
        if first is not None:
            yield _sent(first)
        async for each in rest:
            if each is not None:
                yield _sent(each)


def _sent(event: RecordEvent) -> ServerSentEvent:
    data = bytes(answer(event).body).decode()
    return ServerSentEvent(data, event="record", id=str(event.offset))


def _instant(text: str) -> tuple[int | None, int | None]:
    """(time, offset): one of them."""
    kind, _, number = text.partition(":")
    if kind == "offset" and number.isdecimal() and len(number) < 19:
        return None, int(number)
    try:
        return time_of(text), None
    except ValueError as error:
        raise InvalidInput((("at", f"{error}; or offset:N"),)) from None
