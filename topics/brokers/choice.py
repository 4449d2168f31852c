"""Which broker: a given address, else the embedded one, else (or where asked for) a container."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

from tasker_kafka.schemas.errors import ConfigurationError
from tasker_kafka.topics.brokers.embedded import EmbeddedBroker
from tasker_kafka.topics.brokers.errors import BrokerNotSupported, NoBroker

__all__ = ["ADDRESS_VARIABLE", "PROVIDER_VARIABLE", "Broker", "GivenBroker", "broker_address", "open_broker"]

ADDRESS_VARIABLE = "TASKER_BROKER"
PROVIDER_VARIABLE = "TASKER_TEST_BROKER"
PROVIDERS = ("embedded", "testcontainers")


class Broker(Protocol):
    """What every way of getting a broker gives."""

    @property
    def bootstrap_servers(self) -> str:
        """The address for clients: `host:port`, several separated by commas."""
        ...

    def stop(self) -> None:
        """End the broker if it was started for this; called once."""
        ...


@dataclass(frozen=True)
class GivenBroker:
    """A cluster that is already there; not ours to stop."""

    bootstrap_servers: str

    def stop(self) -> None:
        """Do nothing."""


def open_broker(
    address: str | None = None,
    *,
    provider: str | None = None,
    settings: Mapping[str, str] | None = None,
    environment: Mapping[str, str] = os.environ,
) -> Broker:
    """The broker to use; the caller stops it.

    address: bootstrap servers; default TASKER_BROKER. If there is one, it is used and nothing is started
    provider: `embedded` or `testcontainers`, and no other is tried; default TASKER_TEST_BROKER.
        Without one: embedded, and a container where that cannot run
    settings: further server properties of an embedded broker

    Raises `NoBroker` where none can be had, `BrokerNotStarted` where one can but did not start.
    """
    address = address or environment.get(ADDRESS_VARIABLE)
    if address:
        return GivenBroker(address)
    provider = provider or environment.get(PROVIDER_VARIABLE) or None
    if provider not in (None, *PROVIDERS):
        raise ConfigurationError(
            f"{PROVIDER_VARIABLE}={provider} is no way of getting a broker.",
            next_step=f"Use one of {', '.join(PROVIDERS)}, or none of them.",
        )
    reasons: list[str] = []
    if provider != "testcontainers":
        try:
            return EmbeddedBroker.start(settings=settings)
        except BrokerNotSupported as error:
            reasons.append(f"embedded: {error}")
    if provider != "embedded":
        try:
            return start_container()
        except NoBroker as error:
            reasons.append(f"testcontainers: {error}")
    raise NoBroker(
        "No broker can be had here.\n" + "\n".join(reasons),
        next_step=f"Any one of these is enough: the address of a broker in {ADDRESS_VARIABLE}, "
        "pip install 'tasker-kafka[broker]', or a container engine and 'tasker-kafka[test]'.",
    )


@contextmanager
def broker_address(
    address: str | None = None,
    *,
    provider: str | None = None,
    settings: Mapping[str, str] | None = None,
    environment: Mapping[str, str] = os.environ,
) -> Iterator[str]:
    """The bootstrap servers of the broker to use, as `open_broker` chooses it; stopped at the end of the block."""
    broker = open_broker(address, provider=provider, settings=settings, environment=environment)
    try:
        yield broker.bootstrap_servers
    finally:
        broker.stop()


def start_container() -> Broker:
    """Kafka in a container; `NoBroker` where there is no engine, no image or no testcontainers package."""
    try:
        from docker.errors import DockerException
        from requests.exceptions import RequestException

        from tasker_kafka.topics.brokers.container import KafkaContainer
    except ImportError as error:
        raise NoBroker(f"The package {error.name} is not installed.") from error
    try:
        return KafkaContainer().start()
    except (DockerException, RequestException) as error:
        raise NoBroker(f"No container engine answers, or it has no image: {error}.") from error
