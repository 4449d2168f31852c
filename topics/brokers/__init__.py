"""Brokers for development and tests, one interface and three ways: a given address, the real Apache Kafka in a child
process (from Python packages alone), or a container.

Nothing here is needed against a cluster that is already there; then only its address counts.
"""

from __future__ import annotations

from tasker_kafka.topics.brokers.choice import Broker, GivenBroker, broker_address, open_broker
from tasker_kafka.topics.brokers.cluster import EmbeddedCluster
from tasker_kafka.topics.brokers.detached import (
    DetachedBroker,
    start_detached,
    status_detached,
    stop_detached,
)
from tasker_kafka.topics.brokers.embedded import EmbeddedBroker
from tasker_kafka.topics.brokers.errors import (
    BrokerNotStarted,
    BrokerNotSupported,
    ChecksumMismatch,
    DownloadFailed,
    NoBroker,
)

__all__ = [
    "Broker",
    "BrokerNotStarted",
    "BrokerNotSupported",
    "ChecksumMismatch",
    "DetachedBroker",
    "DownloadFailed",
    "EmbeddedBroker",
    "EmbeddedCluster",
    "GivenBroker",
    "NoBroker",
    "broker_address",
    "open_broker",
    "start_detached",
    "status_detached",
    "stop_detached",
]
