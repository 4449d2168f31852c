"""What a role may not do is refused where it is done: a browser can be told to press buttons that are closed."""

from __future__ import annotations

from typing import Any
from unittest.mock import AsyncMock, MagicMock

import pytest

from tasker_kafka.deploy.console.auth import Authenticator, Principal
from tasker_kafka.deploy.console.guard import Guard
from tasker_kafka.deploy.console.pages import context, dialogs, tasks_bulk
from tasker_kafka.deploy.console.pages.dialogs import Said
from tasker_kafka.deploy.console.pages.markup import EMPTY
from tasker_kafka.deploy.console.pages.tasks_filter import Filter
from tasker_kafka.schemas.settings import load_settings
from tasker_kafka.schemas.settings.console import Role
from tasker_kafka.schemas.words import OperatorAction


def as_role(monkeypatch: pytest.MonkeyPatch, role: Role) -> None:
    monkeypatch.setattr(context, "principal", lambda: Principal("rita", role, is_proven=True))


@pytest.mark.parametrize("needed", Role)
@pytest.mark.parametrize("role", Role)
async def test_a_dialog_sends_for_nobody_who_may_not(
    monkeypatch: pytest.MonkeyPatch, role: Role, needed: Role
) -> None:
    as_role(monkeypatch, role)
    monkeypatch.setattr(dialogs, "ui", MagicMock())
    send = AsyncMock(return_value=Said("done"))
    dialog = dialogs._Dialog("Cancel", EMPTY, "Cancel", send, needs_reason=False, role=needed)
    dialog._button, dialog._back, dialog._answer = MagicMock(), MagicMock(), MagicMock()
    await dialog._confirm()
    assert send.await_count == int(role.includes(needed))
    assert dialog._is_done == role.includes(needed)
    if not role.includes(needed):
        assert f"this needs {needed}" in str(dialog._answer.show.call_args)


@pytest.mark.parametrize("role", [Role.READ, Role.OPERATE])
async def test_many_tasks_are_an_admins(monkeypatch: pytest.MonkeyPatch, role: Role) -> None:
    as_role(monkeypatch, role)
    backend, ui = MagicMock(bulk=AsyncMock(), now_ms=lambda: 5), MagicMock()
    monkeypatch.setattr(context, "backend", lambda: backend)
    monkeypatch.setattr(tasks_bulk, "ui", ui)
    monkeypatch.setattr(tasks_bulk, "ask", MagicMock())
    await tasks_bulk.offer_bulk(OperatorAction.CANCEL_TASK, Filter(), lambda: None)
    assert backend.bulk.await_count == 0
    assert "needs admin" in str(ui.notify.call_args)


@pytest.mark.parametrize("is_answerable", [True, False])
async def test_a_socket_without_a_token_is_asked_for_one(is_answerable: bool) -> None:
    """A browser sends the name and password that it has been given to a socket only when that asks for them."""
    settings = load_settings(environ={"TASKER_CONSOLE__TOKENS": "rita:read:env:RITA"}).console
    guard = Guard(AsyncMock(), settings, Authenticator(settings, {"RITA": "r-4e1b"}))
    sent: list[Any] = []
    scope = {
        "type": "websocket",
        "path": "/_nicegui_ws/socket.io/",
        "headers": [(b"host", b"127.0.0.1:8080")],
        "extensions": {"websocket.http.response": {}} if is_answerable else {},
    }
    received = AsyncMock(return_value={"type": "websocket.connect"})
    await guard(scope, received, AsyncMock(side_effect=sent.append))
    if not is_answerable:
        assert sent == [{"type": "websocket.close", "code": 1008}]
        return
    assert (sent[0]["type"], sent[0]["status"]) == ("websocket.http.response.start", 401)
    assert b"www-authenticate" in dict(sent[0]["headers"])
