"""A request to another service, as data: made by pure functions, sent by `sender`.

Addresses and keys of these services are secrets (whoever has a webhook's URL may post), so a request shows neither
its URL nor its headers nor its body, in no text and no representation.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import httpx

from tasker_kafka.handlers.errors import PermanentError
from tasker_kafka.schemas.errors import ConfigurationError

from .texts import json_bytes

__all__ = [
    "JSON",
    "MAX_BODY_BYTES",
    "Request",
    "address_secrets",
    "checked_address",
    "checked_size",
    "json_request",
]

JSON: Final = "application/json"
_SHORTEST_SECRET: Final = 6
"""Shorter pieces are words of the address, as `hooks`."""
MAX_BODY_BYTES: Final = 512 * 1024
"""PagerDuty takes 512 KB; the others of the known services bound theirs below it by how they are made."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One HTTP request."""

    service: str
    """For texts: `Slack`."""
    url: str = field(repr=False)
    body: bytes = field(repr=False)
    method: str = "POST"
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    secrets: tuple[str, ...] = field(default=(), repr=False)
    """What must not be in a text, should the service repeat it in its answer."""
    busy_seconds: float | None = None
    """Delay after 429 where the service names none. None: the subscription's policy."""

    @property
    def place(self) -> str:
        """The service and its host; neither path nor query, which are secrets of most of these services."""
        try:
            host = httpx.URL(self.url).host
        except httpx.InvalidURL:
            host = ""
        return f"{self.service} ({host})" if host else self.service


def json_request(service: str, url: str, value: Any, **more: Any) -> Request:
    """A POST of JSON. PermanentError `too_large` above `MAX_BODY_BYTES`."""
    headers = {"Content-Type": JSON, **more.pop("headers", {})}
    return checked_size(Request(service=service, url=url, body=json_bytes(value), headers=headers, **more))


def checked_size(request: Request) -> Request:
    """The request itself; PermanentError `too_large` when its body is above `MAX_BODY_BYTES`."""
    if len(request.body) > MAX_BODY_BYTES:
        raise PermanentError(
            f"{request.place}: the request has {len(request.body)} bytes, at most {MAX_BODY_BYTES} are sent",
            code="too_large",
        )
    return request


def checked_address(service: str, url: str) -> str:
    """The URL itself if it is an absolute http(s) address; ConfigurationError that does not repeat it."""
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL:
        parsed = httpx.URL("")
    if parsed.scheme not in {"http", "https"} or not parsed.host:
        raise ConfigurationError(
            f"the address of {service} is no http(s) URL (it is a secret and not shown)",
            next_step="compare what the secret holds with what the service gave you: https://…",
        )
    return url


def address_secrets(url: str) -> tuple[str, ...]:
    """The parts of an address that is a secret: all of it, its path and query, and each long enough piece of them."""
    path = httpx.URL(url).raw_path.decode("ascii", "replace")
    pieces = re.split(r"[/?&=;]", path)
    return (
        (url, path, *(each for each in pieces if len(each) >= _SHORTEST_SECRET)) if len(path) > 1 else (url,)
    )
