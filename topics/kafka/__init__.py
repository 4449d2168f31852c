"""The log on Kafka: the one folder, besides the Faust side and the brokers, that knows the driver."""

from __future__ import annotations

from tasker_kafka.topics.kafka.forgiving import install
from tasker_kafka.topics.kafka.log import KafkaLog
from tasker_kafka.topics.kafka.options import (
    Compression,
    KafkaOptions,
    SaslMechanism,
    SecurityOptions,
    SecurityProtocol,
    TokenSource,
)

__all__ = [
    "Compression",
    "KafkaLog",
    "KafkaOptions",
    "SaslMechanism",
    "SecurityOptions",
    "SecurityProtocol",
    "TokenSource",
]

install()
