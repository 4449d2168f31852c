"""What a role may not do is refused where it is done: a browser can be told to press buttons that are closed."""

from __future__ import annotations

from unittest.mock import AsyncMock, MagicMock

import pytest

from tasker_kafka.deploy.console.auth import Principal
from tasker_kafka.deploy.console.pages import context, dialogs, tasks_bulk
from tasker_kafka.deploy.console.pages.dialogs import Said
from tasker_kafka.deploy.console.pages.markup import EMPTY
from tasker_kafka.deploy.console.pages.tasks_filter import Filter
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
