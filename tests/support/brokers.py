"""Fixtures of real brokers. Without one, tests are skipped at a desk and fail in CI."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from tasker_kafka.topics.brokers import Broker, EmbeddedBroker, NoBroker, open_broker
from tasker_kafka.topics.brokers.errors import BrokerNotSupported

OwnBroker = Callable[..., EmbeddedBroker]


def no_broker(error: Exception) -> None:
    """A missing broker is no reason for a green CI."""
    if os.environ.get("CI"):
        pytest.fail(str(error), pytrace=False)
    pytest.skip(str(error))


@pytest.fixture(scope="session")
def kafka() -> Iterator[Broker]:
    """The broker all tests of a session share: TASKER_BROKER, else an embedded one, else a container."""
    try:
        broker = open_broker()
    except NoBroker as error:
        no_broker(error)
        raise
    yield broker
    broker.stop()


@pytest.fixture
def prefix() -> str:
    """A topic prefix that no other test has."""
    return f"t{uuid.uuid4().hex[:8]}"


@pytest.fixture
def own_broker() -> Iterator[OwnBroker]:
    """Starts embedded brokers of the test's own, to be killed and paused; parameters as of `EmbeddedBroker.start`."""
    with ExitStack() as started:

        def start(**parameters: Any) -> EmbeddedBroker:
            try:
                return started.enter_context(EmbeddedBroker.start(**parameters))
            except BrokerNotSupported as error:
                no_broker(error)
                raise

        yield start
