"""`/health` for supervisors and people, `/metrics` for Prometheus."""

from __future__ import annotations

from typing import Final

from fastapi import APIRouter
from starlette.responses import Response

from tasker_kafka.deploy.console.backend import HealthReport, Level
from tasker_kafka.deploy.console.metrics import CONTENT_TYPE, exposition

from .answering import TheBackend, answer, answers
from .shapes import Readiness

__all__ = ["router"]

router: Final = APIRouter(tags=["health"])


@router.head("/health/live", include_in_schema=False)
@router.get("/health/live", **answers(Readiness))
async def show_live() -> Response:
    """Whether the process answers at all. Needs no token."""
    return answer(Readiness(level=Level.OK, message="alive"))


@router.head("/health/ready", include_in_schema=False)
@router.get(
    "/health/ready", **answers(Readiness, _503=(Readiness, "Neither projection nor broker can be read."))
)
async def show_ready(backend: TheBackend) -> Response:
    """Whether requests can be served: the projection or the broker can be read. Needs no token."""
    is_readable, is_reachable = backend.reach.store.is_readable, backend.reach.broker.is_reachable
    if is_readable and is_reachable:
        return answer(Readiness(level=Level.OK, message="ready"))
    if is_readable or is_reachable:
        away = "the broker is away" if is_readable else "the projection cannot be read"
        return answer(Readiness(level=Level.DEGRADED, message=away))
    return answer(Readiness(level=Level.DOWN, message="broker and projection are away"), 503)


@router.get("/health/status", **answers(HealthReport))
async def show_status(backend: TheBackend) -> Response:
    """Every part of the system with its level, and what to do about it."""
    return answer(await backend.health())


@router.get(
    "/metrics",
    response_class=Response,
    responses={
        200: {"content": {"text/plain": {"schema": {"type": "string"}}}, "description": "The figures."}
    },
)
async def show_metrics(backend: TheBackend) -> Response:
    """Figures in Prometheus' text format. Labels are states, templates, queues and handlers, never ids."""
    return Response(await exposition(backend), media_type=CONTENT_TYPE)
