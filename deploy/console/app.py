"""The web application: the API at the root, the pages under /console, the guard around both."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI
from starlette.responses import RedirectResponse, Response

from tasker_kafka.schemas.settings import Settings

from .api.mounting import mount_api
from .api.openapi import describe
from .auth import Authenticator
from .backend import Backend
from .guard import Guard
from .problems import add_handlers

__all__ = ["make_app"]


def make_app(
    backend: Backend,
    settings: Settings,
    *,
    with_pages: bool = True,
    environ: Mapping[str, str] | None = None,
) -> FastAPI:
    """The application. It opens and closes the backend with its lifespan.

    with_pages: False: the API alone (the library that draws pages is one per process).
    ConfigurationError when a token's secret cannot be read.
    """

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncGenerator[None, None]:
        async with backend:
            yield

    app = _Console(
        title="Tasker on Kafka",
        lifespan=lifespan,
        docs_url=None,  # its scripts come from elsewhere
        redoc_url=None,
        openapi_url="/openapi.json",
    )
    app.state.backend = backend
    add_handlers(app)
    mount_api(app)
    if with_pages:
        from .pages import mount

        app.add_api_route("/", _to_pages, include_in_schema=False)
        mount(app, backend, settings)
    authenticator = (
        Authenticator(settings.console) if environ is None else Authenticator(settings.console, environ)
    )
    app.add_middleware(Guard, settings=settings.console, authenticator=authenticator)
    return app


class _Console(FastAPI):
    """Describes itself with the shapes that routes answer, which FastAPI cannot know."""

    def openapi(self) -> dict[str, Any]:
        """The description, made once: routes are all there before the first request."""
        if self.openapi_schema is None:
            self.openapi_schema = describe(self)
        return self.openapi_schema


async def _to_pages() -> Response:
    return RedirectResponse("/console")
