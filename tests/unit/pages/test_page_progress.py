"""What is done to many: the dialog counts, can be told to stop, and the same command goes on afterwards."""

from __future__ import annotations

import asyncio
import time
from unittest.mock import MagicMock

import pytest

from tasker_kafka.deploy.console.auth import Principal
from tasker_kafka.deploy.console.pages import context, dialogs
from tasker_kafka.deploy.console.pages.dialogs import Counted, Order, Said
from tasker_kafka.deploy.console.pages.markup import EMPTY
from tasker_kafka.schemas.settings.console import Role


class Sender:
    """Tells three of five, then waits to be stopped; the next time it does the rest."""

    def __init__(self) -> None:
        self.orders: list[Order] = []
        self.told = asyncio.Event()

    async def __call__(self, order: Order) -> Said:
        self.orders.append(order)
        if len(self.orders) == 1:
            order.tell(3)
            self.told.set()
            await asyncio.Event().wait()
        order.tell(5)
        return Said("all of it")


async def test_it_can_be_stopped_and_goes_on_as_the_same_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(context, "principal", lambda: Principal("ada", Role.ADMIN, is_proven=True))
    monkeypatch.setattr(dialogs, "ui", MagicMock())
    send = Sender()
    dialog = dialogs._Dialog("Purge", EMPTY, "Purge", send, needs_reason=False, role=Role.ADMIN, many=5)
    parts = {name: MagicMock() for name in ("_button", "_back", "_stop", "_answer", "_counted", "_dialog")}
    for name, part in parts.items():
        setattr(dialog, name, part)
    confirming = asyncio.create_task(dialog._confirm())
    await send.told.wait()
    assert "3 of 5 done" in str(parts["_counted"].show.call_args)
    dialog._stopped()
    await confirming
    assert "Stopped: 3 of 5 were done" in str(parts["_answer"].show.call_args)
    await dialog._confirm()
    assert "all of it" in str(parts["_answer"].show.call_args)
    assert len({order.command_id for order in send.orders}) == 1


def test_not_every_one_of_many_is_a_message(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    counted = Counted(1_000)
    assert counted.is_worth_showing(1)
    assert not any(counted.is_worth_showing(number) for number in range(2, 1_000))
    assert counted.said() == "999 of 1,000"
    assert counted.is_worth_showing(1_000), "the last is always shown"
    counted.restart()
    assert counted.said() == "0 of 1,000"
