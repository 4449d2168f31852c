"""Who is let in: tokens, roles, hosts, pages of others, sizes, and how much at once."""

from __future__ import annotations

import asyncio
import base64
import hmac
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from starlette.responses import Response

from tasker_kafka.deploy.console.auth import Authenticator
from tasker_kafka.deploy.console.guard import BODY_BYTES, Guard
from tasker_kafka.deploy.console.problems import add_handlers
from tasker_kafka.schemas.errors import ConfigurationError
from tasker_kafka.schemas.settings import InvalidSettings, load_settings
from tasker_kafka.schemas.settings.console import ConsoleSettings, Role, is_loopback
from tests.support.console_world import TOKEN_SETTINGS, TOKENS, ConsoleWorld, bearer


def settings_of(**variables: str) -> ConsoleSettings:
    environ = {f"TASKER_CONSOLE__{name}": value for name, value in variables.items()}
    return load_settings(environ=environ).console


def basic(user: str, token: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:{token}".encode()).decode()}


def client_of(
    settings: ConsoleSettings, base_url: str = "http://127.0.0.1"
) -> tuple[httpx.AsyncClient, FastAPI]:
    """A guarded application that echoes who asks, and waits where it is told."""
    app = FastAPI()
    add_handlers(app)
    app.state.gate = asyncio.Event()
    app.state.inside = asyncio.Event()

    @app.api_route("/echo", methods=["GET", "POST"])
    async def echo(body: dict[str, Any] | None = None) -> dict[str, Any]:
        return {"body": body}

    @app.get("/slow")
    async def slow() -> Response:
        app.state.inside.set()
        await app.state.gate.wait()
        return Response()

    @app.get("/health/live")
    async def live() -> Response:
        return Response()

    app.add_middleware(Guard, settings=settings, authenticator=Authenticator(settings, TOKENS))
    transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
    return httpx.AsyncClient(transport=transport, base_url=base_url), app


class TestTokens:
    @pytest.mark.parametrize(
        ("headers", "status"),
        [
            ({}, 401),
            (bearer("r-4e1b"), 200),
            (bearer("wrong"), 401),
            (bearer(""), 401),
            (basic("rita", "r-4e1b"), 200),
            (basic("otto", "r-4e1b"), 401),
            (basic("", "r-4e1b"), 401),
            ({"Authorization": "Basic r-4e1b"}, 401),
            ({"Authorization": "Digest r-4e1b"}, 401),
            ({"Authorization": "bearer r-4e1b"}, 200),
        ],
    )
    async def test_only_a_known_one_gets_in(self, headers: dict[str, str], status: int) -> None:
        client, _ = client_of(settings_of(TOKENS=TOKEN_SETTINGS))
        answer = await client.get("/echo", headers=headers)
        assert answer.status_code == status
        if status == 401:
            assert answer.headers["WWW-Authenticate"].startswith("Basic")
            assert answer.headers["content-type"] == "application/problem+json"

    async def test_a_supervisor_needs_none(self) -> None:
        client, _ = client_of(settings_of(TOKENS=TOKEN_SETTINGS))
        assert (await client.get("/health/live")).status_code == 200

    def test_every_token_is_compared_in_constant_time(self, monkeypatch: pytest.MonkeyPatch) -> None:
        compared: list[int] = []
        real = hmac.compare_digest

        def counted(one: Any, other: Any) -> bool:
            compared.append(len(one))
            return real(one, other)

        authenticator = Authenticator(settings_of(TOKENS=TOKEN_SETTINGS), TOKENS)
        monkeypatch.setattr(hmac, "compare_digest", counted)
        for token in ("r-4e1b", "a-77f0", "x", "r-4e1bb" * 1000):
            compared.clear()
            authenticator.principal(f"Bearer {token}")
            assert compared == [32, 32, 32], "as many comparisons of as many bytes, whoever asks"

    def test_a_token_that_cannot_be_read_ends_the_start(self) -> None:
        with pytest.raises(ConfigurationError, match="READ_TOKEN"):
            Authenticator(settings_of(TOKENS=TOKEN_SETTINGS), {})


@pytest.mark.parametrize(
    ("tokens", "said"),
    [
        ("ada", "no role"),
        ("ada:root:env:X", "no role"),
        ("ada:read:s3cr3t", "never the token itself"),
        ("a b:read:env:X", "no actor's name"),
        ("ada:read:env:X,ada:admin:env:Y", "two tokens"),
    ],
)
def test_entries_that_are_none_are_refused(tokens: str, said: str) -> None:
    with pytest.raises(InvalidSettings, match=said) as caught:
        settings_of(TOKENS=tokens)
    assert "s3cr3t" not in str(caught.value)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.7", "console.example.org"])
def test_it_does_not_listen_for_all_without_tokens(host: str) -> None:
    with pytest.raises(InvalidSettings, match=r"console\.tokens"):
        settings_of(HOST=host)
    assert settings_of(HOST=host, TOKENS=TOKEN_SETTINGS).host == host


@pytest.mark.parametrize(
    ("host", "expected"),
    [("127.0.0.1", True), ("127.9.9.9", True), ("::1", True), ("localhost", True), ("127.evil.org", False)],
)
def test_what_a_loopback_address_is(host: str, expected: bool) -> None:
    assert is_loopback(host) is expected


class TestHosts:
    @pytest.mark.parametrize(
        ("host", "status"),
        [
            ("127.0.0.1", 200),
            ("127.0.0.1:8080", 200),
            ("localhost:9", 200),
            ("LOCALHOST", 200),
            ("[::1]:8080", 200),
            ("tasker.lan", 200),
            ("tasker.lan:8443", 200),
            ("evil.example", 421),
            ("127.0.0.1.evil.example", 421),
            ("localhost.evil.example:80", 421),
            ("", 421),
        ],
    )
    async def test_only_our_names(self, host: str, status: int) -> None:
        client, _ = client_of(settings_of(ALLOWED_HOSTS="tasker.lan"))
        answer = await client.get("/echo", headers={"Host": host})
        assert answer.status_code == status, "a name that points here must not reach us (DNS rebinding)"

    @pytest.mark.parametrize(
        ("method", "origin", "status"),
        [
            ("POST", None, 200),
            ("POST", "http://127.0.0.1:8080", 200),
            ("POST", "https://evil.example", 403),
            ("POST", "null", 403),
            ("GET", "https://evil.example", 200),
        ],
    )
    async def test_no_page_of_another_host_changes_anything(
        self, method: str, origin: str | None, status: int
    ) -> None:
        client, _ = client_of(settings_of())
        headers = {} if origin is None else {"Origin": origin}
        assert (await client.request(method, "/echo", headers=headers)).status_code == status


class TestBounds:
    async def test_a_body_has_a_limit_whatever_its_sender_says(self) -> None:
        client, _ = client_of(settings_of())
        fits = b'{"a":"' + b"x" * (BODY_BYTES - 8) + b'"}'
        headers = {"Content-Type": "application/json"}
        assert (await client.post("/echo", content=fits, headers=headers)).status_code == 200
        assert (await client.post("/echo", content=fits + b" ", headers=headers)).status_code == 413

        async def chunks() -> AsyncIterator[bytes]:
            for _ in range(20):
                yield b" " * 100_000

        unsaid = await client.post("/echo", content=chunks(), headers=headers)
        assert (unsaid.status_code, unsaid.headers["content-type"]) == (413, "application/problem+json")

    async def test_more_than_is_taken_on_at_once_is_503(self) -> None:
        client, app = client_of(settings_of(CONCURRENT_REQUESTS="1"))
        waiting = asyncio.create_task(client.get("/slow"))
        await app.state.inside.wait()
        refused = await client.get("/echo")
        assert refused.status_code == 503
        assert int(refused.headers["Retry-After"]) > 0
        assert refused.json()["type"] == "urn:tasker:problem:overloaded"
        assert (await client.get("/health/live")).status_code == 200, "a supervisor is always answered"
        app.state.gate.set()
        assert (await waiting).status_code == 200
        assert (await client.get("/echo")).status_code == 200


@pytest.mark.slow
class TestRoles:
    @pytest.mark.parametrize(
        ("method", "path", "body", "least"),
        [
            ("GET", "/tasks", None, Role.READ),
            ("GET", "/metrics", None, Role.READ),
            ("POST", "/tasks", {"name": "order", "namespace": "shop"}, Role.OPERATE),
            ("POST", "/dlq/redrive", {"filter": {}}, Role.OPERATE),
            ("POST", "/dlq/purge", {"filter": {}}, Role.ADMIN),
            ("POST", "/tasks/bulk", {"filter": {}, "action": "cancel_task"}, Role.OPERATE),
            ("GET", "/rejections/0:0?raw=true", None, Role.ADMIN),
        ],
    )
    async def test_each_may_do_what_it_may(
        self, guarded: ConsoleWorld, method: str, path: str, body: Any, least: Role
    ) -> None:
        tokens = dict(zip(Role, ("r-4e1b", "o-8c2d", "a-77f0"), strict=True))
        for role, token in tokens.items():
            answer = await guarded.api.request(method, path, json=body, headers=bearer(token))
            assert (answer.status_code == 403) is not role.includes(least), (role, answer.text)
            if answer.status_code == 403:
                assert f"needs {least}" in answer.json()["detail"]
