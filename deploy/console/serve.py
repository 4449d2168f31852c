"""The console's process: one web server, and beside it the process that keeps the projection up to date.

The order of the end: the server stops taking requests and finishes those it has, then the projector ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import sys
from collections.abc import Callable, Generator
from typing import Final

import uvicorn

from tasker_kafka.deploy.children import Child
from tasker_kafka.deploy.projecting import store_place
from tasker_kafka.deploy.supervising import Supervisor, pass_on
from tasker_kafka.schemas.errors import ConfigurationError
from tasker_kafka.schemas.settings import Settings
from tasker_kafka.schemas.settings.console import is_loopback
from tasker_kafka.topics.log import Log

from .app import make_app
from .backend import Backend

__all__ = ["run_console"]

_LOGGER: Final = logging.getLogger("tasker.console")
_GRACE_SECONDS: Final = 5
_BACKLOG: Final = 128


def run_console(
    connect: Callable[[], Log], settings: Settings, *, with_projection: bool = True, log_level: str = "INFO"
) -> int:
    """Serve until told to stop: the exit code.

    with_projection: False where projectors run elsewhere, on a store that all share. ConfigurationError when the
    address cannot be listened on, a token's secret is missing, or it would be open to all.
    """
    wanted = settings.console
    if not wanted.tokens and not is_loopback(wanted.host):
        raise ConfigurationError(
            f"the console would be open to all who reach {wanted.host}",
            next_step="set console.tokens, or listen on 127.0.0.1",
        )
    listening = _listen(wanted.host, wanted.port)
    backend = Backend.open(settings, connect, store_place(settings))
    app = make_app(backend, settings)
    server = _Server(
        uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=_GRACE_SECONDS,
            ws_max_size=1024 * 1024,
        )
    )
    projector = _projector(log_level) if with_projection else None
    return asyncio.run(_serve(server, listening, projector))


class _Server(uvicorn.Server):
    """Leaves the signals to `_serve`: uvicorn would raise them again at its end, before the projector's."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Nothing is captured."""
        yield


async def _serve(server: uvicorn.Server, listening: socket.socket, projector: Supervisor | None) -> int:
    host, port = listening.getsockname()[:2]
    shown = f"[{host}]" if ":" in host else host
    _LOGGER.info("console at http://%s:%d/console, its API at http://%s:%d", shown, port, shown, port)
    async with contextlib.AsyncExitStack() as opened:
        if projector is not None:
            running = asyncio.create_task(projector.run(), name="projector")
            opened.push_async_callback(_end, projector, running)
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, server.handle_exit, number, None)
        await server.serve(sockets=[listening])
    return 0 if server.started else 1


async def _end(projector: Supervisor, running: asyncio.Task[int]) -> None:
    await projector.stop()
    await running


def _projector(log_level: str) -> Supervisor:
    command = [sys.executable, "-m", "tasker_kafka.deploy.cli", "projection", "run", "--log-level", log_level]
    is_json = not sys.stderr.isatty()
    return Supervisor([Child("projection", command, os.environ, pass_on, log_as_json=is_json)])


def _listen(host: str, port: int) -> socket.socket:
    """A listening socket, so that a taken port is told before anything is started."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host.strip("[]"), port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        found = socket.socket(family, kind, protocol)
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind(address)
        found.listen(_BACKLOG)
    except OSError as error:
        raise ConfigurationError(
            f"{host}:{port} cannot be listened on: {error.strerror or error}",
            next_step="stop what has the port, or give another: --port, or console.port",
        ) from None
    found.setblocking(False)
    return found
