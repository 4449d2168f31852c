"""An orchestrator loads its engine beside what it asks the broker, and never beside the loading of the driver."""

from __future__ import annotations

import threading

import pytest

from tasker_kafka.deploy import roles
from tasker_kafka.schemas.errors import BrokerUnavailable
from tasker_kafka.schemas.settings import Settings
from tasker_kafka.topics.log import Log
from tasker_kafka.topics.memory import MemoryCluster, MemoryLog


class Unreachable(MemoryLog):
    """A log that finds no broker, once the engine is being loaded."""

    def __init__(self, is_loading: threading.Event) -> None:
        super().__init__(MemoryCluster())
        self._is_loading = is_loading

    async def start(self) -> None:
        assert self._is_loading.wait(60)
        raise BrokerUnavailable("nothing listens there")


def test_the_engine_is_loaded_as_soon_as_the_driver_is(monkeypatch: pytest.MonkeyPatch) -> None:
    is_loading, begun = threading.Event(), list[bool]()
    monkeypatch.setattr(roles, "_load_engine", is_loading.set)

    def connect() -> Log:
        begun.append(is_loading.wait(0.2))
        return Unreachable(is_loading)

    with pytest.raises(BrokerUnavailable, match="nothing listens"):
        roles.run_orchestrator_role(connect, Settings(), "127.0.0.1:1")
    assert begun == [False]


def test_a_driver_that_cannot_be_loaded_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    is_loading = threading.Event()
    monkeypatch.setattr(roles, "_load_engine", is_loading.set)

    def connect() -> Log:
        raise ImportError("no driver")

    with pytest.raises(ImportError, match="no driver"):
        roles.run_orchestrator_role(connect, Settings(), "127.0.0.1:1")
    assert not is_loading.is_set()
