"""Every error as `application/problem+json` (RFC 9457): what is wrong, where, and what to do.

| status | when |
|---|---|
| 400 | the request cannot be read |
| 401 | no token, or none that is known |
| 403 | the role, or the page that asks, may not |
| 404 | there is nothing of that name or id |
| 409 | the state forbids it: `state` and `allowed` say what it is and what may be done |
| 405 | the path knows other methods: `Allow` |
| 408 | the body does not come |
| 413 | the body is too large |
| 421 | the host's name is not ours |
| 422 | a value is wrong: `errors` say which, and why |
| 503 | broker or projection is away, or too much is asked at once: `Retry-After` |
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response

from tasker_kafka.deploy.reading import jsonable
from tasker_kafka.handlers.delivery.edits import EditFault
from tasker_kafka.schemas.errors import (
    CommandRejected,
    ConfigurationError,
    EncodeError,
    FencedError,
    LogError,
    NotFoundError,
    PlanUnknown,
    RecordTooLarge,
    RequestRejected,
    TaskerError,
    TopicsDrifted,
    WaitTimeout,
)
from tasker_kafka.schemas.findings import path_text
from tasker_kafka.schemas.limits import LimitExceeded
from tasker_kafka.schemas.redaction import redact_text
from tasker_kafka.schemas.words import AnswerCode, RejectionCode
from tasker_kafka.streams.projection import BadCursor, QuestionTooLarge, StoreUnavailable

from .backend import CommandRefused, Forbidden, InvalidInput, Overloaded, RequestRefused

__all__ = ["MEDIA_TYPE", "add_handlers", "problem", "problem_of"]

_LOGGER: Final = logging.getLogger("tasker.console")
MEDIA_TYPE: Final = "application/problem+json"
RETRY_SECONDS: Final = 2
_TYPE: Final = "urn:tasker:problem:{}"
_MOST_ERRORS: Final = 50

_Errors = Sequence[tuple[str, str]]


def problem(
    status: int,
    code: str,
    detail: str,
    *,
    errors: _Errors = (),
    next_step: str | None = None,
    headers: dict[str, str] | None = None,
    **members: Any,
) -> JSONResponse:
    """The document as a response. `code` names the kind of problem; members are further ones of it."""
    document = {
        "type": _TYPE.format(code),
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": redact_text(detail),
        "errors": [{"path": path, "message": redact_text(text)} for path, text in errors[:_MOST_ERRORS]],
        "next_step": next_step,
        **jsonable(members),
    }
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        headers = {"Retry-After": str(RETRY_SECONDS), **(headers or {})}
    return JSONResponse(document, status, headers, media_type=MEDIA_TYPE)


def problem_of(error: TaskerError) -> JSONResponse:
    """The document of one of our errors."""
    if isinstance(error, RequestRejected):
        return _refused_request(error)
    if isinstance(error, CommandRejected):
        return _refused_command(error)
    if isinstance(error, InvalidInput):
        return problem(422, "invalid", error.message, errors=error.errors, next_step=error.next_step)
    if isinstance(error, BadCursor):
        return problem(
            422, "invalid", error.message, errors=[("cursor", error.message)], next_step=error.next_step
        )
    for kind, status, code in _KINDS:
        if isinstance(error, kind):
            return problem(status, code, error.message, next_step=error.next_step)
    _LOGGER.error("an error without a status: %s: %s", type(error).__name__, error)
    return problem(500, "internal", error.message, next_step=error.next_step)


_KINDS: Final[tuple[tuple[type[TaskerError], int, str], ...]] = (
    (Forbidden, 403, "forbidden"),
    (NotFoundError, 404, "not-found"),
    (PlanUnknown, 404, "plan-unknown"),
    (Overloaded, 503, "overloaded"),
    (QuestionTooLarge, 503, "question-too-large"),
    (StoreUnavailable, 503, "projection-away"),
    (FencedError, 409, "fenced"),
    (LogError, 503, "broker-away"),
    (TopicsDrifted, 503, "topics-drifted"),
    (WaitTimeout, 503, "timeout"),
    (EditFault, 422, "invalid"),
    (LimitExceeded, 422, "over-limit"),
    (RecordTooLarge, 422, "over-limit"),
    (EncodeError, 422, "invalid"),
    (ConfigurationError, 422, "invalid"),
)
"""The first that fits counts."""


def add_handlers(app: FastAPI) -> None:
    """Make the application answer every error so."""

    @app.exception_handler(TaskerError)
    async def _ours(request: Request, error: Exception) -> Response:
        assert isinstance(error, TaskerError)
        return problem_of(error)

    @app.exception_handler(RequestValidationError)
    async def _invalid(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        return _invalid_request(request, error)

    @app.exception_handler(HTTPException)
    async def _http(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        phrase = HTTPStatus(error.status_code).phrase.lower().replace(" ", "-")
        code, next_step = _OF_STATUS.get(error.status_code, (phrase, None))
        headers = dict(error.headers or {})
        return problem(error.status_code, code, str(error.detail), next_step=next_step, headers=headers)

    @app.exception_handler(Exception)
    async def _unexpected(request: Request, error: Exception) -> Response:
        _LOGGER.error("%s %s failed", request.method, request.url.path, exc_info=error)
        return problem(
            500,
            "internal",
            "a defect of Tasker; the process's log has the traceback",
            next_step="report it with the traceback",
        )


_OF_STATUS: Final[Mapping[int, tuple[str, str]]] = {
    400: ("bad-request", "send JSON in UTF-8 that fits docs/reference/openapi.json"),
    408: ("too-slow", "send the body at once, or in smaller requests"),
    413: ("too-large", "send less at once"),
}
"""Code and next step of what is refused before a route sees it."""


def _invalid_request(request: Request, error: RequestValidationError) -> Response:
    """422 with every fault; what is no JSON by its own word was not even looked at."""
    errors = [(_path(each["loc"]), str(each["msg"]).removeprefix("Value error, ")) for each in error.errors()]
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    is_unread = not (kind == "application/json" or kind.endswith("+json"))
    if is_unread and any(each["loc"] == ("body",) for each in error.errors()):
        text = f"the body is {kind[:80]!r}" if kind else "the body says not what it is"
        return problem(
            422,
            "invalid",
            text,
            errors=[("", text)],
            next_step="send JSON, as Content-Type: application/json",
        )
    detail = "; ".join(f"{path}: {text}" if path else text for path, text in errors[:5])
    return problem(422, "invalid", detail, errors=errors)


def _refused_request(error: RequestRejected) -> JSONResponse:
    errors: _Errors = error.errors if isinstance(error, RequestRefused) else ()
    if error.code in {RejectionCode.DUPLICATE, RejectionCode.EXPIRED}:
        task_id = error.task_id if isinstance(error, RequestRefused) else None
        code = str(error.code)
        return problem(
            409,
            code,
            error.message,
            errors=errors,
            next_step=error.next_step,
            task_id=task_id,
            state=None,
            allowed=[],
        )
    if error.code == RejectionCode.INTERNAL:
        return problem(500, "internal", error.message, errors=errors, next_step=error.next_step)
    code = str(error.code).replace("_", "-")
    return problem(
        422, code, error.message, errors=errors or [("", error.message)], next_step=error.next_step
    )


def _refused_command(error: CommandRejected) -> JSONResponse:
    code = str(error.code).replace("_", "-")
    if error.code == AnswerCode.INVALID:
        return problem(422, code, error.message, errors=[("", error.message)], next_step=error.next_step)
    if error.code in {AnswerCode.UNKNOWN_TASK, AnswerCode.UNKNOWN_STEP}:
        return problem(404, code, error.message, next_step=error.next_step)
    if error.code == AnswerCode.INTERNAL:
        return problem(500, "internal", error.message, next_step=error.next_step)
    told: dict[str, Any] = {"command_id": None, "state": None, "allowed": ()}
    if isinstance(error, CommandRefused):
        told = {"command_id": error.command_id, "state": error.state, "allowed": error.allowed}
    return problem(409, code, error.message, next_step=error.next_step, **told)


def _path(location: Sequence[str | int]) -> str:
    """Where in the body, or which parameter."""
    return path_text(
        location[1:] if location and location[0] in {"body", "query", "path", "header"} else location
    )
