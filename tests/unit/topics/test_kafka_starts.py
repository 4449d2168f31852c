"""What cannot be started is closed: the driver would say in its finalizer that somebody has left it open."""

from __future__ import annotations

import gc
import logging

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.errors import KafkaConnectionError

from tasker_kafka.schemas.errors import LogError
from tasker_kafka.topics.kafka.outbox import KafkaOutbox
from tasker_kafka.topics.kafka.reader import KafkaReader

NOBODY = "127.0.0.1:1"


async def test_a_reader(caplog: pytest.LogCaptureFixture) -> None:
    reader = KafkaReader(AIOKafkaConsumer(bootstrap_servers=NOBODY))
    with pytest.raises(LogError, match="starting a reader"):
        await reader.start({})
    assert reader.is_closed
    _nothing_is_open(caplog)


async def test_an_outbox(caplog: pytest.LogCaptureFixture) -> None:
    async def count(_: str) -> int:
        return 1

    outbox = KafkaOutbox(
        lambda: AIOKafkaProducer(bootstrap_servers=NOBODY), count, delivery_timeout=1.0, on_failure=None
    )
    with pytest.raises(KafkaConnectionError):
        await outbox.start()
    del outbox
    _nothing_is_open(caplog)


def _nothing_is_open(caplog: pytest.LogCaptureFixture) -> None:
    gc.collect()
    left = [
        each.message for each in caplog.records if each.levelno >= logging.ERROR and each.name == "asyncio"
    ]
    assert not [each for each in left if "Unclosed" in each]
