"""What `import tasker_kafka.handlers` costs: every handler's process and every test run pays it."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tasker_kafka import handlers
from tasker_kafka.handlers import publishing

HEAVY = (
    "aiokafka",
    "fastavro",
    "asyncio",
    "jsonschema_rs",
    "faust",
    "tasker_kafka.topics",
    "tasker_kafka.streams",
)


def test_nothing_is_loaded_that_only_a_worker_or_a_publisher_needs() -> None:
    code = f"import sys, tasker_kafka.handlers; print([each for each in {HEAVY} if each in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"


def test_the_publisher_is_there_when_it_is_asked_for() -> None:
    assert handlers.EventPublisher is publishing.EventPublisher
    for module in (handlers, publishing):
        assert set(module.__all__) <= {*dir(module), "EventPublisher"}
        with pytest.raises(AttributeError, match="no attribute 'EventPublishr'"):
            module.EventPublishr  # noqa: B018 - asking for it is the act
