"""Sends a `Request` and says how it ended: the one place of the integrations that talks HTTP.

| answer | ends |
|---|---|
| 2xx | well |
| 408, 425, 429, 5xx | RetryableError, after `Retry-After` (at most an hour) if the service asks for it |
| any other, redirects included | PermanentError: the event goes to the dead letters |
| none (connection, time-out) | RetryableError `HTTP_CONNECTION`, `HTTP_TIMEOUT` |

A request whose answer was lost may have had its effect, and is sent again. What the service does about it is said
where the request is made.
"""

from __future__ import annotations

import asyncio
import logging
import weakref
from contextlib import suppress
from contextvars import ContextVar
from typing import Final

import httpx

from tasker_kafka.handlers.errors import PermanentError, RetryableError, StepError
from tasker_kafka.handlers.http import retry_after_seconds
from tasker_kafka.schemas.redaction import redact_text

from .request import Request
from .texts import ERROR_LENGTH, one_line

__all__ = ["Sender", "check_answer"]

USER_AGENT: Final = "tasker-kafka"
_RETRYABLE: Final = frozenset({408, 425, 429})
_LONGEST_DELAY_SECONDS: Final = 3_600.0
_LARGEST_ANSWER: Final = 4 * 1024
_BODY_SECONDS: Final = 1.0
_MOST_CONNECTIONS: Final = 20
_MASK: Final = "***"
_FAULTS: Final = (
    httpx.HTTPError,
    httpx.StreamError,
    httpx.InvalidURL,
    httpx.CookieConflict,
    ValueError,
    TypeError,
)

_is_ours: ContextVar[bool] = ContextVar("tasker_integration_request", default=False)


class Sender:
    """Sends requests; keeps one client, and so its connections, for each event loop.

    client: used instead of an own one, and left open
    """

    def __init__(self, client: httpx.AsyncClient | None = None) -> None:
        self._given = client
        self._clients: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, httpx.AsyncClient] = (
            weakref.WeakKeyDictionary()
        )
        _silence_client_log()

    async def send(self, request: Request, *, timeout_seconds: float) -> None:
        """Return when the service has accepted it; PermanentError or RetryableError as the table above says.

        timeout_seconds: for the whole of it, from connecting to the answer's end
        """
        token = _is_ours.set(True)
        try:
            async with asyncio.timeout(timeout_seconds):
                answer = await self._exchange(request)
        except TimeoutError:
            raise RetryableError(
                f"{request.place} did not answer within {timeout_seconds:g} s", code="HTTP_TIMEOUT"
            ) from None
        except _FAULTS as error:
            # The library's texts may repeat the address or a header.
            raise _unanswered(request, error) from None
        finally:
            _is_ours.reset(token)
        check_answer(request, answer)

    async def aclose(self) -> None:
        """Close the connections of this event loop."""
        client = self._clients.pop(asyncio.get_running_loop(), None)
        if client is not None:
            await client.aclose()

    async def _exchange(self, request: Request) -> httpx.Response:
        headers = {"User-Agent": USER_AGENT, "Accept-Encoding": "identity", **request.headers}
        made = self._client().build_request(
            request.method, request.url, content=request.body, headers=headers, timeout=None
        )
        response = await self._client().send(made, stream=True, follow_redirects=False)
        try:
            body = await _beginning(response)
        finally:
            await response.aclose()
        return httpx.Response(
            response.status_code,
            headers={
                name: value for name, value in response.headers.items() if name in {"retry-after", "date"}
            },
            content=body,
        )

    def _client(self) -> httpx.AsyncClient:
        if self._given is not None:
            return self._given
        loop = asyncio.get_running_loop()
        client = self._clients.get(loop)
        if client is None or client.is_closed:
            limits = httpx.Limits(max_connections=_MOST_CONNECTIONS)
            client = self._clients[loop] = httpx.AsyncClient(limits=limits)
        return client


async def _beginning(response: httpx.Response) -> bytes:
    """The answer's first bytes, as they came: what is packed is not unpacked, however small it claims to be.

    The status has decided already, so an answer that breaks off or stalls is as good as a whole one: a request that
    was accepted must not be sent again for it.
    """
    if response.is_stream_consumed:
        return response.content[:_LARGEST_ANSWER]
    body = bytearray()
    with suppress(TimeoutError, httpx.HTTPError):
        async with asyncio.timeout(_BODY_SECONDS):
            async for part in response.aiter_raw():
                body += part
                if len(body) >= _LARGEST_ANSWER:
                    break
    return bytes(body[:_LARGEST_ANSWER])


def check_answer(request: Request, answer: httpx.Response) -> None:
    """Nothing if the service accepted the request, else the error that the table above says."""
    status = answer.status_code
    if 200 <= status < 300:
        return
    said = one_line(_scrub(request, answer.text), ERROR_LENGTH)
    text = f"{request.place} answered {status} {answer.reason_phrase}".rstrip() + (
        f": {said}" if said else ""
    )
    code = f"HTTP_{status}"
    if status not in _RETRYABLE and status < 500:
        raise PermanentError(text, code=code)
    delay = retry_after_seconds(answer)
    if delay is None and status == 429:
        delay = request.busy_seconds
    if delay is not None:
        delay = min(delay, _LONGEST_DELAY_SECONDS)
    raise RetryableError(text, code=code, retry_after=delay)


def _unanswered(request: Request, error: Exception) -> StepError:
    text = f"{request.place}: {type(error).__name__}"
    if isinstance(error, httpx.TimeoutException):
        return RetryableError(text, code="HTTP_TIMEOUT")
    if isinstance(error, httpx.TransportError) and not isinstance(
        error, httpx.UnsupportedProtocol | httpx.LocalProtocolError
    ):
        return RetryableError(text, code="HTTP_CONNECTION")
    return PermanentError(text, code="HTTP_INVALID_REQUEST")


def _scrub(request: Request, text: str) -> str:
    # The longest first: a piece of a secret must not hide where the whole one is.
    for secret in sorted((*request.secrets, request.url), key=len, reverse=True):
        if secret:
            text = text.replace(secret, _MASK)
    return redact_text(text)


class _NotOurs(logging.Filter):
    """Leaves out what the client library says of our requests: the whole address, at level INFO."""

    def filter(self, record: logging.LogRecord) -> bool:
        return not _is_ours.get()


def _silence_client_log() -> None:
    for name in ("httpx", "httpcore.connection", "httpcore.http11", "httpcore.http2", "httpcore.proxy"):
        logger = logging.getLogger(name)
        if not any(isinstance(each, _NotOurs) for each in logger.filters):
            logger.addFilter(_NotOurs())
