"""A `KafkaLog` as the settings describe it: the one place where settings become driver options."""

from __future__ import annotations

from tasker_kafka.schemas.settings import Secret, Settings
from tasker_kafka.topics.kafka.log import KafkaLog
from tasker_kafka.topics.kafka.options import (
    Compression,
    KafkaOptions,
    SaslMechanism,
    SecurityOptions,
    SecurityProtocol,
    TokenSource,
)

__all__ = ["configured_log", "security_options"]


def configured_log(
    settings: Settings, *, bootstrap: str | None = None, client_id: str = "tasker"
) -> KafkaLog:
    """The cluster of the settings, not yet started.

    bootstrap: another address than the settings'. ConfigurationError when there is none, or a secret is missing.
    """
    broker = settings.broker
    return KafkaLog(
        bootstrap or broker.address(),
        security=security_options(settings),
        client_id=client_id,
        options=KafkaOptions(
            delivery_timeout=broker.delivery_timeout_seconds,
            request_timeout=broker.request_timeout_seconds,
            connect_timeout=broker.connect_timeout_seconds,
            compression=Compression(broker.compression),
            fetch_partition_bytes=settings.engine.max_poll_bytes,
        ),
    )


def security_options(settings: Settings) -> SecurityOptions:
    """Encryption and identity, with the secrets read."""
    given = settings.broker.security
    token = given.token
    return SecurityOptions(
        protocol=SecurityProtocol(given.protocol),
        mechanism=None if given.mechanism is None else SaslMechanism(given.mechanism),
        username=given.username,
        password=_read(given.password),
        token_source=None if token is None else _token_source(token),
        ca_file=given.ca_file,
        certificate_file=given.certificate_file,
        key_file=given.key_file,
        key_password=_read(given.key_password),
    )


def _token_source(secret: Secret) -> TokenSource:
    """Read again whenever the broker asks: whoever issues the tokens renews the file."""

    async def read() -> str:
        return secret.read()

    return read


def _read(secret: Secret | None) -> str | None:
    return None if secret is None else secret.read()
