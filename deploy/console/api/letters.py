"""`/dlq`: dead letters, and `/stale`: tasks that need a person."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable
from typing import Annotated, Any, Final

import msgspec
from fastapi import APIRouter, Path, Query
from pydantic import Field
from starlette.responses import Response

from tasker_kafka.deploy.console.auth import Principal
from tasker_kafka.deploy.console.backend import InvalidInput
from tasker_kafka.deploy.reading.dead_letters import LetterPage, LetterReport, check_cursor
from tasker_kafka.handlers.delivery.edits import parse_assignment
from tasker_kafka.handlers.delivery.redrive import ActOrder, ActReport, Edit
from tasker_kafka.schemas.errors import WaitTimeout
from tasker_kafka.schemas.redaction import redact
from tasker_kafka.schemas.settings.console import Role

from .answering import Admin, Asker, Operator, TheBackend, answer, answers
from .commands import USUAL_WAIT, Details, asked_of, outcome_answer, outcomes
from .inputs import (
    Cursor,
    IdempotencyKey,
    LetterBody,
    LetterQuery,
    Limit,
    PurgeBody,
    Raw,
    RedriveBody,
    StaleBody,
    TaskId,
    Wait,
    at_path,
)
from .shapes import ActAnswer, SkippedLetter, StaleAnswer, StaleEntry, StaleTasks

__all__ = ["router"]

router: Final = APIRouter()
_NOTHING_SAID: Final = StaleBody()
ACT_SECONDS: Final = 300.0
"""That a request may act on letters."""


class LetterListQuery(LetterQuery):
    """Filters and the page that is wanted."""

    limit: int = Field(default=50, ge=1, le=500, description="Letters at most.")
    before: str | None = Field(default=None, max_length=200, description="`next` of the page before.")


@router.get("/dlq", tags=["dead letters"], **answers(LetterPage, also=(404,)))
async def list_letters(query: Annotated[LetterListQuery, Query()], backend: TheBackend) -> Response:
    """Dead letters, newest first. Open ones unless `state` says otherwise."""
    if query.before is not None:
        at_path("before", lambda: check_cursor(query.before or ""))
    page = await backend.dead_letters(query.wanted(), limit=query.limit, before=query.before)
    return answer(page)


@router.get("/dlq/{queue}/{place}", tags=["dead letters"], **answers(LetterReport, also=(404,)))
async def show_letter(
    queue: str,
    place: Annotated[str, Path(description="PARTITION:OFFSET")],
    backend: TheBackend,
    asker: Asker,
    raw: Raw = False,
) -> Response:
    """One dead letter in full: its journey, its payload with secrets hidden, what was done about it."""
    if raw:
        asker.require(Role.ADMIN)
    return answer(await backend.dead_letter(f"{queue}/{place}", raw=raw))


@router.post("/dlq/redrive", tags=["dead letters"], **answers(ActAnswer, also=(404, 409)))
async def redrive(body: RedriveBody, backend: TheBackend, operator: Operator) -> Response:
    """Hand dead letters to their groups again. `dry_run` is the default: it says what would be done."""
    report = await _in_time(backend.redrive(body.wanted(), _order(body, operator, _edit(body))))
    return _acted(report, is_dry_run=body.dry_run)


@router.post("/dlq/purge", tags=["dead letters"], **answers(ActAnswer, also=(404, 409)))
async def purge(body: PurgeBody, backend: TheBackend, admin: Admin) -> Response:
    """Give dead letters up. `dry_run` is the default."""
    report = await _in_time(backend.purge(body.wanted(), _order(body, admin, None)))
    return _acted(report, is_dry_run=body.dry_run)


@router.get("/stale", tags=["stale"], **answers(StaleTasks))
async def list_stale(
    backend: TheBackend,
    status: Annotated[
        str, Query(max_length=32, description="pending, resolved, failed, cancelled, or all.")
    ] = "pending",
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Response:
    """The ledger of tasks that need, or needed, a person."""
    if status not in {"pending", "resolved", "failed", "cancelled", "all"}:
        raise InvalidInput((("status", "must be pending, resolved, failed, cancelled or all"),))
    page = await backend.stale(status=None if status == "all" else status, limit=limit, cursor=cursor)
    return answer(StaleTasks(entries=tuple(map(StaleEntry.of, page.rows)), next_cursor=page.next_cursor))


@router.get("/stale/{task_id}", tags=["stale"], **answers(StaleAnswer, also=(404,)))
async def show_stale(task_id: TaskId, backend: TheBackend) -> Response:
    """One entry with the task as it was when it was written."""
    row = await backend.stale_entry(task_id)
    return answer(StaleAnswer(entry=StaleEntry.of(row, _snapshot(row.snapshot))))


@router.post("/stale/{task_id}/resolve", tags=["stale"], **outcomes())
async def resolve_stale(
    task_id: TaskId,
    *,
    backend: TheBackend,
    operator: Operator,
    body: StaleBody = _NOTHING_SAID,
    key: IdempotencyKey = None,
    wait: Wait = USUAL_WAIT,
) -> Response:
    """Settle a pending entry by a command to its task; resolve_task unless `action` says otherwise."""
    more: Details = {"steps": body.steps}
    if "result" in body.model_fields_set:
        more["result"] = body.result
    asked = asked_of(body, operator, key, more)
    return outcome_answer(await backend.resolve_stale(task_id, body.action, wait=wait or None, **asked))


async def _in_time(acting: Awaitable[ActReport]) -> ActReport:
    """No request is held for longer, whatever pace it asks for; what was done by then is done."""
    try:
        async with asyncio.timeout(ACT_SECONDS):
            return await acting
    except TimeoutError:
        raise WaitTimeout(
            f"not every letter could be acted on within {ACT_SECONDS:g} s; what was done is done",
            next_step="ask again for those that are still open, at a higher pace, or use `tasker dlq`",
        ) from None


def _order(body: LetterBody, principal: Principal, edit: Edit | None) -> ActOrder:
    return ActOrder(
        actor=principal.acting_as(body.actor),
        reason=body.reason,
        per_second=body.per_second,
        edit=edit,
        is_dry_run=body.dry_run,
    )


def _edit(body: RedriveBody) -> Edit | None:
    has_payload = "payload" in body.model_fields_set
    if has_payload and body.set:
        raise InvalidInput((("payload", "give set or payload, not both"),))
    if has_payload:
        if len(body.places) != 1:
            raise InvalidInput((("payload", "changes one letter: name it in places"),))
        return Edit(payload=body.payload)
    if not body.set:
        return None
    texts = [f"{path}={json.dumps(value)}" for path, value in body.set.items()]
    return Edit(assignments=at_path("set", lambda: tuple(map(parse_assignment, texts))))


def _acted(report: ActReport, *, is_dry_run: bool) -> Response:
    return answer(
        ActAnswer(
            is_dry_run=is_dry_run,
            letters=report.letters,
            repeats=report.repeats,
            groups=dict(sorted(report.groups.items())),
            skipped=tuple(
                SkippedLetter(place=str(place), state=state.value) for place, state in report.skipped
            ),
        )
    )


def _snapshot(data: bytes) -> Any:
    try:
        return redact(msgspec.json.decode(data), envelope=True)
    except (msgspec.DecodeError, RecursionError):
        return f"({len(data)} bytes that are no JSON)"
