"""What nobody sends by mistake: each is answered by a problem document below 500, and nothing is held open."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import httpx
import pytest
from starlette.exceptions import HTTPException

from tasker_kafka.deploy.console import guard
from tasker_kafka.deploy.console.api import letters
from tasker_kafka.deploy.console.api.openapi import openapi_document
from tasker_kafka.deploy.console.auth import Authenticator
from tasker_kafka.deploy.console.backend import Backend
from tasker_kafka.schemas.settings import load_settings
from tasker_kafka.schemas.settings.console import ConsoleSettings
from tests.support.console_world import TOKEN_SETTINGS, TOKENS, ConsoleWorld, bearer

JSON = {"Content-Type": "application/json"}
TASK = "0197f3c8-7a1e-7c3b-9d7e-2f1a5b6c7d8e"
WEIRD = [
    "a%00b",
    "%ff%fe",
    "%ed%a0%80",
    "..%2f..%2fetc%2fpasswd",
    "%0d%0aX-Evil:%201",
    "%F0%9F%92%A9",
    "٣",
    "-1",
    "1e309",
    "9" * 400,
    "a" * 5_000,
    "' OR 1=1 --",
]


def operations() -> Iterator[tuple[str, str, dict[str, Any]]]:
    """(method, path, description) of everything that the API does."""
    for path, found in openapi_document()["paths"].items():
        for method, operation in found.items():
            yield method.upper(), path, operation


def filled(path: str, **values: str) -> str:
    """The path with values for its names; an id for a task, and x for the rest."""
    for name in ("task_id", "step", "namespace", "name", "version", "group", "place", "queue"):
        path = path.replace(f"{{{name}}}", values.get(name, TASK if name == "task_id" else "x"))
    return path


def is_refused(answer: httpx.Response) -> bool:
    """Whether it is a problem document below 500, that holds nothing it was sent as a header."""
    is_problem = answer.headers["content-type"] == "application/problem+json"
    return 400 <= answer.status_code < 500 and is_problem and "x-evil" not in answer.headers


@pytest.mark.slow
async def test_weird_text_in_any_parameter_is_no_defect(world: ConsoleWorld) -> None:
    for method, path, operation in operations():
        for parameter in operation.get("parameters", ()):
            name, place = parameter["name"], parameter["in"]
            for weird in WEIRD if place != "header" else ():
                values = {name: weird} if place == "path" else {}
                url = filled(path, **values) + ("" if place == "path" else f"?{name}={weird}")
                answer = await world.api.request(method, url, json={} if method == "POST" else None)
                assert answer.status_code == 200 or is_refused(answer), (method, url[:200], answer.text[:300])


class TestBodies:
    pytestmark = pytest.mark.slow

    @pytest.mark.parametrize(
        ("content", "status", "said"),
        [
            (b'{"name": "\xff\xfe"}', 400, "UTF-8"),
            (b"[" * 200_000 + b"]" * 200_000, 400, "UTF-8"),
            (b'{"context": ' + b'{"a":' * 480 + b"1" + b"}" * 480 + b"}", 422, "64 levels"),
            (b'{"context": {"a": ' + b"[" * 900 + b"]" * 900 + b"}}", 422, "64 levels"),
            (b'{"context": {"a": NaN}}', 422, "no JSON"),
            (b'{"context": {"a": 1e999}}', 422, "no JSON"),
            (b'{"name": "\\ud800"}', 422, "name"),
            (b'{"name": "a\\u0000b"}', 422, "NUL"),
            (b"", 422, "required"),
        ],
    )
    async def test_what_is_no_request_is_told(
        self, world: ConsoleWorld, content: bytes, status: int, said: str
    ) -> None:
        answer = await world.api.post("/tasks", content=content, headers=JSON)
        assert is_refused(answer)
        assert answer.status_code == status
        assert said in answer.text

    @pytest.mark.parametrize("path", ["steps/charge/complete", "commands"])
    async def test_a_result_may_not_be_too_deep_either(self, world: ConsoleWorld, path: str) -> None:
        content = b'{"action": "complete_step", "result": ' + b"[" * 500 + b"]" * 500 + b"}"
        answer = await world.api.post(f"/tasks/{TASK}/{path}", content=content, headers=JSON)
        assert (answer.status_code, "64 levels" in answer.text) == (422, True)

    @pytest.mark.parametrize("kind", [None, "text/plain", "application/x-www-form-urlencoded"])
    async def test_what_is_no_json_by_its_own_word_is_not_read(
        self, world: ConsoleWorld, kind: str | None
    ) -> None:
        """A page elsewhere may send these without asking first."""
        headers = {} if kind is None else {"Content-Type": kind}
        answer = await world.api.post("/tasks", content=b'{"name": "order"}', headers=headers)
        assert (answer.status_code, is_refused(answer)) == (422, True)
        assert "Content-Type: application/json" in answer.json()["next_step"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "value", "status"),
    [
        (b"Idempotency-Key", b"a\r\nX-Evil: 1", 404),
        (b"Idempotency-Key", b"a\x00b", 422),
        (b"Idempotency-Key", b"\xff\xfe", 404),
        (b"Idempotency-Key", b"", 422),
        (b"Idempotency-Key", b"a" * 256, 422),
        (b"Content-Length", b"9" * 5_000, 413),
        (b"Host", b"127.0.0.1\r\nX-Evil: 1", 421),
    ],
)
async def test_headers_are_text_and_nothing_else(
    world: ConsoleWorld, name: bytes, value: bytes, status: int
) -> None:
    answer = await world.api.post(f"/tasks/{TASK}/cancel", headers=[(name, value)])
    assert (answer.status_code, is_refused(answer)) == (status, True), answer.text


@pytest.mark.slow
@pytest.mark.parametrize("last", ["1\r\nX-Evil: 1", "-1", "9" * 30, "", "٣"])
async def test_a_last_event_id_is_an_offset(world: ConsoleWorld, last: str) -> None:
    headers = [(b"Last-Event-ID", last.encode())]
    answer = await world.api.get(f"/tasks/{TASK}/events?follow=false", headers=headers)
    assert (answer.status_code, is_refused(answer)) == (422, True)


@pytest.mark.slow
async def test_a_cursor_of_another_list_is_refused_or_fits(world: ConsoleWorld) -> None:
    for _ in range(2):
        await world.submit()
    cursor = (await world.get("/tasks?limit=1"))["next_cursor"]
    for path, name in (("/stale", "cursor"), ("/dlq", "before")):
        answer = await world.api.get(path, params={name: cursor})
        assert answer.status_code == 200 or is_refused(answer), answer.text


@pytest.mark.slow
@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("DELETE", "/tasks", "GET, POST"),
        ("OPTIONS", "/tasks", "GET, POST"),
        ("PUT", f"/tasks/{TASK}", "GET"),
        ("GET", f"/tasks/{TASK}/cancel", "POST"),
        ("HEAD", "/tasks", "GET, POST"),
        ("POST", "/health/live", "GET, HEAD"),
    ],
)
async def test_another_method_is_told_which_there_are(
    world: ConsoleWorld, method: str, path: str, allowed: str
) -> None:
    answer = await world.api.request(method, path)
    assert (answer.status_code, answer.headers["allow"]) == (405, allowed)


@pytest.mark.slow
async def test_a_supervisor_may_ask_for_the_head_only(world: ConsoleWorld) -> None:
    assert [(await world.api.head(f"/health/{each}")).status_code for each in ("live", "ready")] == [200, 200]


class TestRoles:
    """Over the whole description: what is added later is covered, too."""

    pytestmark = pytest.mark.slow

    async def test_who_may_only_look_changes_nothing(self, guarded: ConsoleWorld) -> None:
        changing = [(method, path) for method, path, _ in operations() if method != "GET"]
        assert len(changing) >= 13
        for method, path in changing:
            for role, token, is_let_in in (
                ("read", "r-4e1b", False),
                ("operate", "o-8c2d", path != "/dlq/purge"),
                ("admin", "a-77f0", True),
            ):
                answer = await guarded.api.request(method, filled(path), json=[], headers=bearer(token))
                assert (answer.status_code != 403) is is_let_in, (role, method, path, answer.text)
                if is_let_in:
                    assert answer.status_code in {404, 422}, "a list is no request: nothing was done"

    async def test_who_may_look_sees_everything_but_original_bytes(self, guarded: ConsoleWorld) -> None:
        for method, path, operation in operations():
            if method != "GET":
                continue
            names = {each["name"] for each in operation.get("parameters", ())}
            url = filled(path)
            for query in ("", "raw=true") if "raw" in names else ("",):
                answer = await guarded.api.get(f"{url}?{query}", headers=bearer("r-4e1b"))
                assert (answer.status_code == 403) is bool(query), (path, query, answer.text)

    async def test_nobody_sees_nothing(self, guarded: ConsoleWorld) -> None:
        for method, path, _ in operations():
            answer = await guarded.api.request(method, filled(path))
            is_open = path in {"/health/live", "/health/ready"}
            assert (answer.status_code == 401) is not is_open, (method, path)
        assert (await guarded.api.get("/openapi.json")).status_code == 401


Receive = Callable[[], Awaitable[dict[str, Any]]]


async def answered(
    settings: ConsoleSettings,
    receive: Receive,
    headers: list[tuple[bytes, bytes]],
    environ: dict[str, str] | None = None,
) -> int:
    """The status of a POST to a guarded application that reads its whole body."""
    sent: list[dict[str, Any]] = []

    async def reading(scope: Any, receive: Any, send: Any) -> None:
        while (await receive()).get("more_body"):
            pass
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body"})

    async def send(message: Any) -> None:
        sent.append(message)

    application = guard.Guard(reading, settings, Authenticator(settings, environ or TOKENS))
    scope = {"type": "http", "method": "POST", "path": "/x", "headers": headers}
    try:
        await application(scope, receive, send)
    except HTTPException as error:  # the application around it answers it
        return error.status_code
    return int(sent[0]["status"])


def settings_of(**variables: str) -> ConsoleSettings:
    return load_settings(environ={f"TASKER_CONSOLE__{k}": v for k, v in variables.items()}).console


HOST = (b"host", b"127.0.0.1")


async def empty() -> dict[str, Any]:
    return {"type": "http.request", "body": b"", "more_body": False}


async def test_a_body_that_does_not_come_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else as many slow senders as requests are worked on at once would keep everybody out."""
    monkeypatch.setattr(guard, "BODY_SECONDS", 0.01)

    async def never() -> dict[str, Any]:
        await asyncio.Event().wait()
        return await empty()

    async with asyncio.timeout(10):
        assert await answered(settings_of(), never, [HOST]) == 408


async def test_a_length_that_is_not_true_is_not_believed() -> None:
    async def more() -> dict[str, Any]:
        return {"type": "http.request", "body": b"x" * 100_000, "more_body": True}

    for length in (b"10", b"-5", b"10, 10"):
        assert await answered(settings_of(), more, [HOST, (b"content-length", length)]) == 413


async def test_of_two_hosts_or_tokens_none_counts() -> None:
    settings = settings_of(TOKENS=TOKEN_SETTINGS)
    token = (b"authorization", b"Bearer a-77f0")
    assert await answered(settings, empty, [HOST, token]) == 204
    assert await answered(settings, empty, [HOST, (b"host", b"evil.example"), token]) == 421
    assert await answered(settings, empty, [(b"host", b"evil.example"), HOST, token]) == 421
    assert await answered(settings, empty, [HOST, token, (b"authorization", b"Bearer x")]) == 401


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        ("schlüssel".encode(), 204),
        ("schlüssel".encode("latin-1"), 401),
        (b"\xff\xfe", 401),
        (b"", 401),
        (b"a" * 100_000, 401),
    ],
)
async def test_a_token_is_bytes_of_utf_8(sent: bytes, status: int) -> None:
    settings = settings_of(TOKENS="ada:admin:env:ADMIN_TOKEN")
    headers = [HOST, (b"authorization", b"Bearer " + sent)]
    assert await answered(settings, empty, headers, {"ADMIN_TOKEN": "schlüssel"}) == status


@pytest.mark.slow
@pytest.mark.parametrize("act", ["redrive", "purge"])
async def test_acts_on_letters_end_in_time_whatever_pace_they_ask_for(
    world: ConsoleWorld, monkeypatch: pytest.MonkeyPatch, act: str
) -> None:
    async def endless(*_: Any) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(letters, "ACT_SECONDS", 0.01)
    monkeypatch.setattr(Backend, act, endless)
    answer = await world.api.post(f"/dlq/{act}", json={"filter": {}, "per_second": 0.01})
    assert answer.status_code == 503
    assert "what was done is done" in answer.json()["detail"]
    assert "retry-after" in answer.headers
