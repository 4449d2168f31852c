"""HTTP calls from step handlers: the request from the step's configuration, the answer's status as how the step ends.

    @step_handler("api.fetch_cart")
    async def fetch_cart(context: StepContext) -> dict[str, Any]:
        return (await http.call(context)).json()

| status | the attempt |
|---|---|
| 2xx | goes on |
| 400, 401, 403, 404, 422 | fails permanently, code `HTTP_<status>` |
| 429, 503 | fails retryably, after `Retry-After` (seconds or date) if the server asks for it |
| anything else | fails retryably |

What does not get an answer is retryable (`HTTP_TIMEOUT`, `HTTP_CONNECTION`), what cannot be asked is permanent
(`HTTP_INVALID_REQUEST`). Redirects are not followed. Neither queries nor bodies get into messages.
"""

from __future__ import annotations

import asyncio
import threading
import weakref
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final

import httpx

from .context import StepContext
from .errors import PermanentError, RetryableError, StepError

__all__ = ["DEFAULT_TIMEOUT_SECONDS", "call", "call_and_wait", "check", "retry_after_seconds"]

DEFAULT_TIMEOUT_SECONDS: Final = 30.0
"""For connecting, and for each pause in writing or reading."""

_PERMANENT: Final = frozenset({400, 401, 403, 404, 422})
_ASKS_FOR_DELAY: Final = frozenset({429, 503})
_REPEATABLE: Final = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE"})
_CONFIG_KEYS: Final = ("method", "url", "params", "headers", "timeout_seconds")

_clients: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, httpx.AsyncClient] = (
    weakref.WeakKeyDictionary()
)
_local = threading.local()


async def call(
    context: StepContext, *, client: httpx.AsyncClient | None = None, **request: Any
) -> httpx.Response:
    """Send one request; the answer if its status is 2xx, else PermanentError or RetryableError.

    `method` (GET), `url`, `params`, `headers` and `timeout_seconds` come from the step's configuration; each may
    be given here and wins, `params` and `headers` entry by entry. Everything else (`json`, `content`, `data`,
    `files`, `auth`, …) is httpx's. A POST or PATCH carries the step's key as `Idempotency-Key`, unless given.
    """
    arguments = _arguments(context, request)
    try:
        response = await (client or _client_of_loop()).request(**arguments)
    except _FAULTS as error:
        raise _failure(arguments, error) from error
    return check(response)


def call_and_wait(
    context: StepContext, *, client: httpx.Client | None = None, **request: Any
) -> httpx.Response:
    """`call` for handlers that are plain functions."""
    arguments = _arguments(context, request)
    try:
        response = (client or _client_of_thread()).request(**arguments)
    except _FAULTS as error:
        raise _failure(arguments, error) from error
    return check(response)


def check(response: httpx.Response) -> httpx.Response:
    """The answer itself if its status is 2xx; else the error that the table above says."""
    if response.is_success:
        return response
    status = response.status_code
    text = (
        f"{response.request.method} {_place(response.request.url)} answered {status} {response.reason_phrase}"
    )
    code = f"HTTP_{status}"
    if status in _PERMANENT:
        raise PermanentError(text, code=code)
    delay = retry_after_seconds(response) if status in _ASKS_FOR_DELAY else None
    raise RetryableError(text, code=code, retry_after=delay)


def retry_after_seconds(response: httpx.Response) -> float | None:
    """The delay that a server asks for, at least 0; a date counts from the answer's own `Date`, if it has one."""
    text = response.headers.get("Retry-After", "").strip()
    if text.isascii() and text.isdigit():
        return float(text)
    until = _date(text)
    if until is None:
        return None
    now = _date(response.headers.get("Date", "")) or datetime.now(UTC)
    return max(0.0, (until - now).total_seconds())


def _arguments(context: StepContext, request: dict[str, Any]) -> dict[str, Any]:
    config: dict[str, Any] = {name: context.config[name] for name in _CONFIG_KEYS if name in context.config}
    found: dict[str, Any] = {"method": "GET", **config, **request}
    found["method"] = str(found["method"]).upper()
    if not found.get("url"):
        raise PermanentError(
            f"step {context.step} names no url: set `handler.initialization.url`, or give it to the call",
            code="HTTP_INVALID_REQUEST",
        )
    for name in ("params", "headers"):
        merged = {**_mapping(config, name), **_mapping(request, name)}
        found[name] = merged or None
    if found["method"] not in _REPEATABLE:
        headers = httpx.Headers(found["headers"] or {})
        headers.setdefault("Idempotency-Key", context.idempotency_key)
        found["headers"] = headers
    found["timeout"] = found.pop("timeout_seconds", DEFAULT_TIMEOUT_SECONDS)
    return found


def _mapping(source: dict[str, Any], name: str) -> dict[str, Any]:
    value = source.get(name) or {}
    if not isinstance(value, Mapping):
        raise PermanentError(f"`{name}` of the request is no mapping", code="HTTP_INVALID_REQUEST")
    return {str(key): each for key, each in value.items()}


_FAULTS: Final = (httpx.HTTPError, httpx.InvalidURL, httpx.CookieConflict, TypeError, ValueError)


def _failure(arguments: dict[str, Any], error: Exception) -> StepError:
    """How the attempt ends when there is no answer. The library's own text may hold the query, so it is left out."""
    text = f"{arguments['method']} {_place(arguments['url'])}: {type(error).__name__}"
    if isinstance(error, httpx.TimeoutException):
        return RetryableError(text, code="HTTP_TIMEOUT")
    if isinstance(error, httpx.TransportError) and not isinstance(error, httpx.UnsupportedProtocol):
        return RetryableError(text, code="HTTP_CONNECTION")
    return PermanentError(text, code="HTTP_INVALID_REQUEST")


def _place(url: httpx.URL | str) -> str:
    """The address without what may be secret: user, query, fragment."""
    try:
        parsed = httpx.URL(url)
    except (httpx.InvalidURL, TypeError):
        return "(no valid url)"
    return str(parsed.copy_with(username=None, password=None, query=None, fragment=None))


def _date(text: str) -> datetime | None:
    try:
        found = parsedate_to_datetime(text)
    except ValueError:
        return None
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)


def _client_of_loop() -> httpx.AsyncClient:
    """One client for each loop: making one loads certificates, and connections are worth keeping."""
    loop = asyncio.get_running_loop()
    client = _clients.get(loop)
    if client is None or client.is_closed:
        client = _clients[loop] = httpx.AsyncClient()
    return client


def _client_of_thread() -> httpx.Client:
    client: httpx.Client | None = getattr(_local, "client", None)
    if client is None or client.is_closed:
        client = _local.client = httpx.Client()
    return client
