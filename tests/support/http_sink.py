"""A local HTTP service that keeps what it is sent and answers as it is told."""

from __future__ import annotations

import asyncio
import json
import threading
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

__all__ = ["Answer", "HttpSink", "Received"]


@dataclass(frozen=True)
class Received:
    """A request as it came."""

    method: str
    path: str
    headers: Mapping[str, str]
    """Names in small letters."""
    body: bytes

    @property
    def json(self) -> Any:
        """The body, decoded."""
        return json.loads(self.body)

    @property
    def text(self) -> str:
        """All of it, to look for what must not be there."""
        return f"{self.path} {dict(self.headers)} {self.body!r}"


@dataclass(frozen=True)
class Answer:
    """What the sink says to one request."""

    status: int = 200
    body: bytes = b"ok"
    headers: Mapping[str, str] = field(default_factory=dict)
    hangs: bool = False
    """Until the sink is closed."""
    breaks_off: bool = False
    """The body ends before the length that was told."""
    is_endless: bool = False
    """The body comes again and again."""


class HttpSink:
    """Listens on a free port of the loopback interface between `with` and its end."""

    def __init__(self, *answers: Answer) -> None:
        self.requests: list[Received] = []
        self.connections = 0
        self.answers = deque(answers)
        """Given one by one; then every request is accepted."""
        self._closing = threading.Event()
        self._requested = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})

    @property
    def url(self) -> str:
        """The address, without a slash at its end."""
        return f"http://127.0.0.1:{self._server.server_port}"

    async def wait_requested(self) -> None:
        """Until a request has come."""
        await asyncio.to_thread(self._requested.wait, 60)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, place: TracebackType | None
    ) -> None:
        self._closing.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        sink = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def setup(self) -> None:
                super().setup()
                sink.connections += 1

            def _take(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                headers = {name.lower(): value for name, value in self.headers.items()}
                sink.requests.append(Received(self.command, self.path, headers, body))
                sink._requested.set()
                answer = sink.answers.popleft() if sink.answers else Answer()
                if answer.hangs:
                    sink._closing.wait()
                    self.close_connection = True
                    return
                self.send_response(answer.status)
                for name, value in answer.headers.items():
                    self.send_header(name, value)
                if not answer.is_endless:
                    told = len(answer.body) + 100 * answer.breaks_off
                    self.send_header("Content-Length", str(told))
                self.end_headers()
                with suppress(ConnectionError):
                    self.wfile.write(answer.body)
                    while answer.is_endless and not sink._closing.is_set():
                        self.wfile.write(answer.body)
                self.close_connection = answer.is_endless or answer.breaks_off

            do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _take

            def log_message(self, format: str, *args: object) -> None:
                pass

        return Handler
