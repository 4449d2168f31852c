"""What every request passes before anything of ours sees it, HTTP and WebSocket alike.

1. The host's name is one of ours: a page elsewhere cannot reach a loopback address under a name of its own (421).
2. Somebody is there who may look (401). Health checks of a supervisor need no token.
3. What changes something comes from no foreign page (403): browsers send credentials along, and say whose page asks.
4. The body is bounded in size (413) and in the time it takes to come (408), and so is what is worked on at once (503).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any, Final
from urllib.parse import urlsplit

from starlette.exceptions import HTTPException
from starlette.responses import Response

from tasker_kafka.schemas.settings.console import ConsoleSettings, is_loopback

from .auth import Authenticator
from .problems import problem

__all__ = ["BODY_BYTES", "BODY_SECONDS", "Guard"]

BODY_BYTES: Final = 1024 * 1024
BODY_SECONDS: Final = 30.0
"""How long a body may take to come: until then its request is one of those that are worked on."""
_SIZE: Final = f"a body may have {BODY_BYTES} bytes"
_MOST_DIGITS: Final = 9
_OPEN: Final = frozenset({"/health/live", "/health/ready"})
"""What needs no token: it tells nothing but whether the process serves."""
_UNCOUNTED: Final = ("/health/", "/metrics", "/console")
"""Paths that are answered under load, too; the pages have their own bound, their sockets."""
_SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_LOOPBACK_NAMES: Final = ("localhost", "127.0.0.1", "[::1]")

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]


class Guard:
    """Pure ASGI, around the whole application. Puts the principal into the scope as `user`."""

    def __init__(self, app: Application, settings: ConsoleSettings, authenticator: Authenticator) -> None:
        self._app = app
        self._authenticator = authenticator
        self._hosts = _names(settings)
        self._most = settings.concurrent_requests
        self._running = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One connection."""
        if scope["type"] not in {"http", "websocket"}:
            await self._app(scope, receive, send)
            return
        headers = _headers(scope["headers"])
        refused = self._refusal(scope, headers)
        if refused is not None:
            await _refuse(refused, scope, receive, send)
        elif scope["type"] == "websocket":
            await self._app(scope, receive, send)
        elif scope["path"].startswith(_UNCOUNTED):
            await self._app(scope, _bounded(receive), send)
        else:
            await self._counted(scope, _bounded(receive), send)

    # ------------------------------------------------------------------------------------------- inside

    def _refusal(self, scope: Scope, headers: dict[str, str]) -> Response | None:
        """Why this is not let in, in the order of the module's text; None: it is."""
        if not self._is_ours(headers.get("host", "")):
            return problem(
                421,
                "unknown-host",
                f"this is not {headers.get('host', '')[:100]!r}",
                next_step="ask under the name it listens on, or add the name to console.allowed_hosts",
            )
        if scope["path"] not in _OPEN:
            principal = self._authenticator.principal(headers.get("authorization"))
            if principal is None:
                return problem(
                    401,
                    "no-token",
                    "no token is given, or none that is known",
                    next_step="send `Authorization: Bearer TOKEN`, or the actor and the token as user and password",
                    headers={"WWW-Authenticate": 'Basic realm="tasker", charset="UTF-8"'},
                )
            scope["user"] = principal
        if self._is_foreign(scope, headers):
            return problem(
                403,
                "foreign-origin",
                f"a page of {headers['origin'][:100]!r} may not ask for this",
                next_step="add its host to console.allowed_hosts if it is ours",
            )
        length = headers.get("content-length", "0")
        if length.isdecimal() and (len(length) > _MOST_DIGITS or int(length) > BODY_BYTES):
            return _too_large()
        return None

    def _is_foreign(self, scope: Scope, headers: dict[str, str]) -> bool:
        """Whether a page of another host asks for more than to look."""
        origin = headers.get("origin")
        if origin is None or (scope["type"] == "http" and scope["method"] in _SAFE):
            return False
        return not self._is_ours(urlsplit(origin).netloc)

    def _is_ours(self, host: str) -> bool:
        name = host.lower()
        without_port = name if name.endswith("]") else name.rpartition(":")[0] or name
        return name in self._hosts or without_port in self._hosts

    async def _counted(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._running >= self._most:
            text = f"{self._most} requests are worked on already"
            answer = problem(503, "overloaded", text, next_step="try again after Retry-After")
            await _refuse(answer, scope, receive, send)
            return
        self._running += 1
        released = False

        def release() -> None:
            nonlocal released
            if not released:
                released = True
                self._running -= 1

        async def watched(message: Message) -> None:
            # A stream is counted by its feed from its first bytes on, not as a request.
            if message["type"] == "http.response.start" and _is_stream(message.get("headers", ())):
                release()
            await send(message)

        try:
            await self._app(scope, receive, watched)
        finally:
            release()


def _headers(given: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    """By name; those that are given twice are joined, so that a second host or token is none that is known."""
    found: dict[str, str] = {}
    for name, value in given:
        key, text = name.decode("latin-1"), value.decode("latin-1")
        found[key] = f"{found[key]}, {text}" if key in found else text
    return found


def _bounded(receive: Receive) -> Receive:
    """The same body, cut off where it is too large, or too long in coming: senders need not tell the truth."""
    taken = 0
    is_whole = False
    until: float | None = None

    async def counted() -> Message:
        nonlocal taken, is_whole, until
        if is_whole:
            return await receive()  # a disconnection
        until = until or asyncio.get_running_loop().time() + BODY_SECONDS
        try:
            async with asyncio.timeout_at(until):
                message = await receive()
        except TimeoutError:
            raise HTTPException(408, f"the body has not come within {BODY_SECONDS:g} s") from None
        if message["type"] == "http.request":
            taken += len(message.get("body", b""))
            is_whole = not message.get("more_body", False)
            if taken > BODY_BYTES:
                raise HTTPException(413, _SIZE)
        return message

    return counted


def _too_large() -> Response:
    return problem(413, "too-large", _SIZE, next_step="send less at once")


def _names(settings: ConsoleSettings) -> frozenset[str]:
    names = set(settings.allowed_hosts)
    if is_loopback(settings.host):
        names.update(_LOOPBACK_NAMES)
    host = settings.host
    names.add(f"[{host}]" if ":" in host and not host.startswith("[") else host)
    return frozenset(each.lower() for each in names)


def _is_stream(headers: Iterable[tuple[bytes, bytes]]) -> bool:
    return any(
        name.lower() == b"content-type" and value.startswith(b"text/event-stream") for name, value in headers
    )


async def _refuse(answer: Response, scope: Scope, receive: Receive, send: Send) -> None:
    """Browsers that have asked for name and password send them with a socket only once it was answered with 401."""
    if scope["type"] == "websocket":
        await receive()  # the connection request
        if "websocket.http.response" not in (scope.get("extensions") or {}):
            await send({"type": "websocket.close", "code": 1008})
            return
    await answer(scope, receive, send)
