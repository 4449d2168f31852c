"""Each behaviour is written once and runs twice: in memory on a virtual clock, and on a real broker."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.support.behaviour import Play, play_in_memory, play_on_kafka
from tests.support.events import Buses


@pytest.fixture(scope="module")
def kafka_play(request: pytest.FixtureRequest) -> Iterator[Play]:
    """One system on the session's broker for a whole module."""
    with play_on_kafka(request.getfixturevalue("kafka").bootstrap_servers) as workflow:
        yield Play(workflow, is_memory=False)


@pytest.fixture
def memory_play() -> Iterator[Play]:
    """A system in memory of the test's own."""
    with play_in_memory() as workflow:
        yield Play(workflow, is_memory=True)


@pytest.fixture(params=["memory", pytest.param("kafka", marks=pytest.mark.kafka)])
def play(request: pytest.FixtureRequest) -> Play:
    """In memory, then on a broker."""
    found: Play = request.getfixturevalue(f"{request.param}_play")
    return found


@pytest.fixture(params=["memory", pytest.param("kafka", marks=pytest.mark.kafka)])
def events_play(request: pytest.FixtureRequest) -> Iterator[Play]:
    """A system of the test's own, for subscribers: they would hear of other tests' tasks, too."""
    if request.param == "memory":
        with play_in_memory() as workflow:
            yield Play(workflow, is_memory=True)
    else:
        with play_on_kafka(request.getfixturevalue("kafka").bootstrap_servers) as workflow:
            yield Play(workflow, is_memory=False)


@pytest.fixture
def memory_buses() -> Iterator[Buses]:
    """Opens buses in memory."""
    with ExitStack() as opened:
        yield Buses(opened, None)


@pytest.fixture(params=["memory", pytest.param("kafka", marks=pytest.mark.kafka)])
def buses(request: pytest.FixtureRequest) -> Iterator[Buses]:
    """Opens buses in memory, then on a broker."""
    broker = None
    if request.param == "kafka":
        broker = request.getfixturevalue("kafka").bootstrap_servers
    with ExitStack() as opened:
        yield Buses(opened, broker)
