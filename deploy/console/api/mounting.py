"""Puts the API into an application."""

from __future__ import annotations

from fastapi import FastAPI, Request
from starlette.responses import Response
from starlette.routing import Match, Route

from tasker_kafka.deploy.console.problems import problem

from . import commands, health, letters, system, tasks

__all__ = ["mount_api"]

# Fixed paths first: `/tasks/bulk` is no task.
_ROUTERS = tuple(each.router for each in (commands, tasks, system, letters, health))


def mount_api(app: FastAPI) -> None:
    """Every route at the root. `app.state.backend` must be set before the first request."""
    for each in _ROUTERS:
        app.include_router(each)
    app.add_exception_handler(405, _not_allowed)


async def _not_allowed(request: Request, error: Exception) -> Response:
    """405 with all methods of the path, whichever routes they have."""
    routes = [route for each in _ROUTERS for route in each.routes if isinstance(route, Route)]
    fitting = [each for each in routes if each.matches(request.scope)[0] is not Match.NONE]
    methods = sorted({method for each in fitting for method in each.methods or ()})
    said = ", ".join(methods) or "GET"
    text = f"{request.url.path[:200]} knows {said}, not {request.method[:20]}"
    return problem(405, "method-not-allowed", text, headers={"Allow": said})
