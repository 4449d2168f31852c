"""Requests from configuration, answers as endings: every row of the table, and what gets no answer."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from tasker_kafka.handlers import PermanentError, RetryableError, StepContext, http
from tasker_kafka.handlers.errors import StepError

from .sdk_doubles import RecordingServices, make_call

CONFIG = {
    "url": "https://user:pw@shop.test/cart?token=secret",
    "params": {"a": "1"},
    "headers": {"X-One": "1"},
}


def context(**config: Any) -> StepContext:
    return StepContext(make_call(config=config), RecordingServices())


def client(
    answer: httpx.Response | Exception | Callable[[httpx.Request], httpx.Response],
) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=transport(answer))


def transport(
    answer: httpx.Response | Exception | Callable[[httpx.Request], httpx.Response],
) -> httpx.MockTransport:
    def reply(request: httpx.Request) -> httpx.Response:
        if isinstance(answer, Exception):
            raise answer
        return answer if isinstance(answer, httpx.Response) else answer(request)

    return httpx.MockTransport(reply)


async def error_of(answer: httpx.Response | Exception) -> StepError:
    with pytest.raises(StepError) as caught:
        await http.call(context(**CONFIG), client=client(answer))
    assert "secret" not in caught.value.message
    assert "pw" not in caught.value.message
    return caught.value


async def test_the_request_comes_from_the_configuration_and_arguments_win() -> None:
    def reply(request: httpx.Request) -> httpx.Response:
        return httpx.Response(
            201,
            json={
                "url": str(request.url),
                "headers": dict(request.headers),
                "body": request.content.decode(),
            },
        )

    got = await http.call(
        context(
            url="https://shop.test/x", method="post", params={"a": "1", "b": "1"}, headers={"X-One": "1"}
        ),
        client=client(reply),
        params={"b": "2"},
        headers={"X-Two": "2"},
        json={"n": 1},
    )
    found = got.json()
    assert found["url"] == "https://shop.test/x?a=1&b=2"
    assert (found["headers"]["x-one"], found["headers"]["x-two"]) == ("1", "2")
    assert found["headers"]["idempotency-key"].endswith("/7/pay")
    assert json.loads(found["body"]) == {"n": 1}


async def test_a_given_idempotency_key_stays_and_a_get_has_none() -> None:
    def reply(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json={"key": request.headers.get("Idempotency-Key")})

    posted = await http.call(
        context(url="https://shop.test"),
        client=client(reply),
        method="POST",
        headers={"idempotency-key": "mine"},
    )
    assert posted.json() == {"key": "mine"}
    assert (await http.call(context(url="https://shop.test"), client=client(reply))).json() == {"key": None}


@pytest.mark.parametrize("status", [400, 401, 403, 404, 422])
async def test_permanent_statuses(status: int) -> None:
    error = await error_of(httpx.Response(status))
    assert isinstance(error, PermanentError)
    assert error.code == f"HTTP_{status}"
    assert "GET https://shop.test/cart answered" in error.message


@pytest.mark.parametrize("status", [302, 402, 408, 409, 418, 429, 500, 502, 503, 504])
async def test_all_others_are_retryable(status: int) -> None:
    error = await error_of(httpx.Response(status, headers={"Retry-After": "7"}))
    assert isinstance(error, RetryableError)
    assert error.code == f"HTTP_{status}"
    assert error.retry_after == (7.0 if status in {429, 503} else None)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"Retry-After": "0"}, 0.0),
        ({"Retry-After": "soon"}, None),
        ({"Retry-After": "-3"}, None),
        ({"Retry-After": "١٢"}, None),
        ({"Retry-After": "Wed, 21 Oct 2015 07:28:30 GMT", "Date": "Wed, 21 Oct 2015 07:28:00 GMT"}, 30.0),
        ({"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"}, 0.0),
        ({"Retry-After": "Wed, 99 Oct 2015 07:28:00 GMT"}, None),
    ],
)
def test_retry_after(headers: dict[str, str], seconds: float | None) -> None:
    encoded = [(name.encode(), value.encode()) for name, value in headers.items()]
    assert http.retry_after_seconds(httpx.Response(503, headers=encoded)) == seconds


@pytest.mark.parametrize(
    ("fault", "kind", "code"),
    [
        (httpx.ReadTimeout("token=secret"), RetryableError, "HTTP_TIMEOUT"),
        (httpx.ConnectError("token=secret"), RetryableError, "HTTP_CONNECTION"),
        (httpx.UnsupportedProtocol("token=secret"), PermanentError, "HTTP_INVALID_REQUEST"),
    ],
)
async def test_no_answer(fault: Exception, kind: type[StepError], code: str) -> None:
    error = await error_of(fault)
    assert isinstance(error, kind)
    assert error.code == code


@pytest.mark.parametrize(
    "config", [{}, {"url": "https://shop.test:port"}, {"url": "https://shop.test", "headers": "x"}]
)
async def test_what_cannot_be_asked_is_permanent(config: dict[str, Any]) -> None:
    with pytest.raises(PermanentError) as caught:
        await http.call(context(**config), client=client(httpx.Response(200)))
    assert caught.value.code == "HTTP_INVALID_REQUEST"


def test_plain_functions_have_it_too() -> None:
    waiting = httpx.Client(transport=transport(httpx.Response(429, headers={"Retry-After": "2"})))
    with pytest.raises(RetryableError) as caught:
        http.call_and_wait(context(**CONFIG), client=waiting)
    assert caught.value.retry_after == 2.0
