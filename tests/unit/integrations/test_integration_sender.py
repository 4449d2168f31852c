"""What becomes of each answer, and what must be in no text: against a local HTTP sink, and as tables."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from dataclasses import replace

import httpx
import pytest

from tasker_kafka.handlers import PermanentError, RetryableError
from tasker_kafka.handlers.errors import StepError
from tasker_kafka.handlers.integrations import Request, Sender, json_request
from tasker_kafka.handlers.integrations.request import MAX_BODY_BYTES, checked_address
from tasker_kafka.handlers.integrations.sender import check_answer
from tasker_kafka.schemas.errors import ConfigurationError
from tests.support.http_sink import Answer, HttpSink

SECRET = "T0B0-very-secret-hook"
REQUEST = Request(
    service="Slack",
    url=f"https://user:{SECRET}@hooks.example/services/{SECRET}?token={SECRET}",
    body=b"{}",
    headers={"Authorization": f"Bearer {SECRET}"},
    secrets=(SECRET,),
)


def answer(status: int, headers: dict[str, str] | None = None, text: str = "") -> httpx.Response:
    return httpx.Response(status, headers=headers or {}, text=text)


@pytest.mark.parametrize("status", [200, 201, 202, 204])
def test_accepted(status: int) -> None:
    check_answer(REQUEST, answer(status))


@pytest.mark.parametrize(
    "status", [301, 302, 307, 400, 401, 403, 404, 405, 409, 410, 413, 415, 418, 422, 451]
)
def test_refused_for_good(status: int) -> None:
    with pytest.raises(PermanentError) as caught:
        check_answer(REQUEST, answer(status))
    assert caught.value.code == f"HTTP_{status}"
    assert str(status) in caught.value.message


@pytest.mark.parametrize("status", [408, 425, 429, 500, 501, 502, 503, 504, 520, 599])
def test_worth_another_try(status: int) -> None:
    with pytest.raises(RetryableError) as caught:
        check_answer(REQUEST, answer(status))
    assert caught.value.code == f"HTTP_{status}"
    assert caught.value.retry_after is None


@pytest.mark.parametrize(
    ("status", "headers", "busy", "delay"),
    [
        (429, {"Retry-After": "30"}, None, 30.0),
        (429, {"Retry-After": "0"}, None, 0.0),
        (503, {"Retry-After": "7"}, None, 7.0),
        (500, {"Retry-After": "7"}, None, 7.0),
        (429, {}, 60.0, 60.0),
        (429, {"Retry-After": "5"}, 60.0, 5.0),
        (503, {}, 60.0, None),
        (429, {"Retry-After": "999999999"}, None, 3600.0),
        (429, {"Retry-After": "soon"}, None, None),
        (429, {"Retry-After": "Sun, 01 Mar 2026 12:00:40 GMT", "Date": "Sun, 01 Mar 2026 12:00:00 GMT"}, None, 40.0),
        (429, {"Retry-After": "Sun, 01 Mar 2026 11:00:00 GMT", "Date": "Sun, 01 Mar 2026 12:00:00 GMT"}, None, 0.0),
    ],
)  # fmt: skip
def test_the_delay_is_what_the_service_asks_for(
    status: int, headers: dict[str, str], busy: float | None, delay: float | None
) -> None:
    with pytest.raises(RetryableError) as caught:
        check_answer(replace(REQUEST, busy_seconds=busy), answer(status, headers))
    assert caught.value.retry_after == delay


def test_what_the_service_says_is_told_without_secrets_and_not_without_end() -> None:
    said = f"no_service {SECRET} password=hunter2 " + "x" * 5_000
    with pytest.raises(PermanentError) as caught:
        check_answer(REQUEST, answer(404, text=said))
    text = str(caught.value)
    assert text.startswith("Slack (hooks.example) answered 404 Not Found: no_service *** ")
    assert "hunter2" not in text
    assert len(text) < 300


# ------------------------------------------------------------------------------------------ over HTTP


async def sent(request: Request, *, seconds: float = 30.0) -> None:
    sender = Sender()
    try:
        await sender.send(request, timeout_seconds=seconds)
    finally:
        await sender.aclose()


async def test_a_request_arrives_as_it_was_made() -> None:
    with HttpSink() as sink:
        await sent(json_request("Slack", f"{sink.url}/services/x?y=1", {"text": "é"}, headers={"X-One": "1"}))
    [found] = sink.requests
    assert (found.method, found.path, found.json) == ("POST", "/services/x?y=1", {"text": "é"})
    assert (found.headers["content-type"], found.headers["x-one"]) == ("application/json", "1")
    assert found.headers["user-agent"] == "tasker-kafka"


async def test_connections_are_kept() -> None:
    with HttpSink() as sink:
        sender = Sender()
        for _ in range(3):
            await sender.send(json_request("Slack", sink.url, {}), timeout_seconds=30)
        assert len(sink.requests) == 3
        assert sink.connections == 1
        await sender.aclose()


@pytest.mark.parametrize(
    ("given", "kind", "code"),
    [
        (Answer(404, b"no_service"), PermanentError, "HTTP_404"),
        (Answer(302, headers={"Location": "/elsewhere"}), PermanentError, "HTTP_302"),
        (Answer(429, headers={"Retry-After": "3"}), RetryableError, "HTTP_429"),
        (Answer(503), RetryableError, "HTTP_503"),
        (Answer(500, b"x" * 1_000_000), RetryableError, "HTTP_500"),
        (Answer(500, b"x" * 1_000, is_endless=True), RetryableError, "HTTP_500"),
        (Answer(404, breaks_off=True), PermanentError, "HTTP_404"),
        (Answer(400, b"\xff\xfe\x00"), PermanentError, "HTTP_400"),
        (Answer(hangs=True), RetryableError, "HTTP_TIMEOUT"),
    ],
)
async def test_answers_of_a_sink(given: Answer, kind: type[StepError], code: str) -> None:
    with HttpSink(given) as sink, pytest.raises(kind) as caught:
        await sent(json_request("Slack", sink.url, {}), seconds=0.2 if given.hangs else 30)
    assert caught.value.code == code
    # A slow machine may give up before it has asked.
    assert len(sink.requests) == 1 or given.hangs, "a redirect is not followed, and nothing is sent twice"
    assert len(caught.value.message) < 400


class Endless(httpx.AsyncByteStream):
    """A body without end, in pieces of 1,000 bytes."""

    def __init__(self) -> None:
        self.pieces = 0

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while True:
            self.pieces += 1
            yield b"x" * 1_000


async def test_only_the_beginning_of_an_answer_is_read() -> None:
    body = Endless()
    transport = httpx.MockTransport(lambda _: httpx.Response(500, stream=body))
    async with httpx.AsyncClient(transport=transport) as client:
        with pytest.raises(RetryableError):
            await Sender(client).send(REQUEST, timeout_seconds=30)
    assert body.pieces == 5


@pytest.mark.parametrize("given", [Answer(202, breaks_off=True), Answer(200, b"x" * 1_000, is_endless=True)])
async def test_what_was_accepted_is_not_sent_again_for_its_answer(given: Answer) -> None:
    with HttpSink(given) as sink:
        await sent(json_request("Slack", sink.url, {}))
    assert len(sink.requests) == 1


async def test_nobody_there_is_worth_another_try() -> None:
    with HttpSink() as sink:
        url = sink.url
    with pytest.raises(RetryableError) as caught:
        await sent(json_request("Slack", f"{url}/{SECRET}", {}))
    assert (caught.value.code, SECRET in str(caught.value)) == ("HTTP_CONNECTION", False)


@pytest.mark.parametrize(
    "request_",
    [
        replace(REQUEST, url=f"ftp://{SECRET}"),
        replace(REQUEST, url=f"https://\x00{SECRET}"),
        replace(REQUEST, url=SECRET),
        replace(REQUEST, url="http://127.0.0.1:9/", headers={"Authorization": f"Bearer {SECRET}\n"}),
        replace(REQUEST, url="http://127.0.0.1:9/", headers={"X-Name": f"é{SECRET}\u2028"}),
        replace(REQUEST, url="http://127.0.0.1:9/", method="PO ST"),
    ],
    ids=["scheme", "character", "no url", "line break", "no ascii", "method"],
)
async def test_what_cannot_be_asked_is_permanent_and_tells_no_secret(request_: Request) -> None:
    with pytest.raises(StepError) as caught:
        await sent(request_)
    assert SECRET not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__
    assert caught.value.code in {"HTTP_INVALID_REQUEST", "HTTP_CONNECTION"}


async def test_no_log_line_tells_the_address(caplog: pytest.LogCaptureFixture) -> None:
    for name in (None, "httpx", "httpcore"):  # other libraries make them quieter for the whole process
        caplog.set_level(logging.DEBUG, name)
    with HttpSink() as sink:
        headers = {"Authorization": f"Bearer {SECRET}"}
        await sent(json_request("Slack", f"{sink.url}/services/{SECRET}", {}, headers=headers))
        assert SECRET not in caplog.text
        async with httpx.AsyncClient() as client:
            await client.get(f"{sink.url}/of-somebody-else")
    assert "of-somebody-else" in caplog.text, "lines of others stay"


async def test_a_cancelled_request_stays_cancelled() -> None:
    with HttpSink(Answer(hangs=True)) as sink:
        running = asyncio.create_task(sent(json_request("Slack", sink.url, {}), seconds=60))
        await sink.wait_requested()
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running


def test_requests_above_their_size_are_refused() -> None:
    value = "x" * (MAX_BODY_BYTES - 2)
    assert len(json_request("Slack", "https://x.example/", value).body) == MAX_BODY_BYTES
    with pytest.raises(PermanentError) as caught:
        json_request("Slack", "https://x.example/", value + "x")
    assert caught.value.code == "too_large"


@pytest.mark.parametrize(
    "url", ["", SECRET, f"ftp://x/{SECRET}", f"/{SECRET}", f"https:///{SECRET}", f"https://\x00{SECRET}"]
)
def test_an_address_that_is_none_is_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        checked_address("Slack", url)
    assert SECRET not in str(caught.value)
