"""How routes are declared: what they answer, described by the structs that they return, and who may ask."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from typing import Annotated, Any, Final

import msgspec
from fastapi import Depends, Request
from starlette.responses import JSONResponse, Response

from tasker_kafka.deploy.console.auth import Principal
from tasker_kafka.deploy.console.backend import Backend
from tasker_kafka.deploy.console.problems import MEDIA_TYPE
from tasker_kafka.deploy.reading import jsonable
from tasker_kafka.schemas.settings.console import Role

from .json_schema import Schemas
from .shapes import Problem

__all__ = ["SCHEMAS", "Admin", "Asker", "Operator", "TheBackend", "answer", "answers"]

SCHEMAS: Final = Schemas()
"""Of everything that any route answers."""

_ALWAYS: Final = {
    400: "The request cannot be read.",
    401: "No token, or none that is known.",
    403: "The role may not, or a page of another host asks.",
    408: "The body has not come in time.",
    413: "The body is too large.",
    421: "The host's name is not ours.",
    422: "A value is wrong; `errors` say which.",
    500: "A defect of Tasker.",
    503: "Broker or projection is away, or too much is asked at once.",
}
_SOMETIMES: Final = {
    404: "There is nothing of that id or name.",
    409: "The state forbids it; `state` and `allowed` say what may be done.",
}


def answers(
    kind: type[msgspec.Struct],
    *,
    status: int = 200,
    text: str = "What was asked for.",
    also: Iterable[int] = (),
    **statuses: tuple[type[msgspec.Struct], str],
) -> dict[str, Any]:
    """Keywords of a route that answers `kind`. also: 404, 409. statuses: further ones, as `_202=(Outcome, "…")`."""
    described = {status: (kind, text), **{int(name[1:]): each for name, each in statuses.items()}}
    responses: dict[int | str, dict[str, Any]] = {
        code: {
            "description": said,
            "content": {"application/json": {"schema": SCHEMAS.of(each)}},
        }
        for code, (each, said) in described.items()
    }
    for code in (*_ALWAYS, *also):
        responses[code] = {
            "description": _ALWAYS.get(code) or _SOMETIMES[code],
            "content": {MEDIA_TYPE: {"schema": SCHEMAS.of(Problem)}},
        }
    return {
        "responses": responses,
        "status_code": status,
        "response_class": JSONResponse,
        "response_model": None,
    }


class _Json(JSONResponse):
    """JSON of whatever a worker of another make may have put into a result: also of what is none."""

    def render(self, content: Any) -> bytes:
        """The bytes. Numbers that JSON has not become text, half characters stay escaped."""
        try:
            text = json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        except ValueError:
            text = json.dumps(_finite(content), ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        return text.encode("utf-8", "backslashreplace")


def answer(value: Any, status: int = 200) -> Response:
    """The value as JSON."""
    return _Json(jsonable(value), status)


def _finite(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, dict):
        return {key: _finite(each) for key, each in value.items()}
    return [_finite(each) for each in value] if isinstance(value, list) else value


def _backend(request: Request) -> Backend:
    found: Backend = request.app.state.backend
    return found


def _asker(request: Request) -> Principal:
    found: Principal = request.scope["user"]
    return found


def _operator(request: Request) -> Principal:
    found = _asker(request)
    found.require(Role.OPERATE)
    return found


def _admin(request: Request) -> Principal:
    found = _asker(request)
    found.require(Role.ADMIN)
    return found


TheBackend = Annotated[Backend, Depends(_backend)]
Asker = Annotated[Principal, Depends(_asker)]
Operator = Annotated[Principal, Depends(_operator)]
"""Who asks, with the role operate at least."""
Admin = Annotated[Principal, Depends(_admin)]
