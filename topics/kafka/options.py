"""How to reach a cluster and how to write to it: what the settings say, as the driver wants it."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from enum import StrEnum
from typing import Any

import msgspec
from aiokafka.abc import AbstractTokenProvider

from tasker_kafka.schemas.errors import ConfigurationError

__all__ = [
    "Compression",
    "KafkaOptions",
    "SaslMechanism",
    "SecurityOptions",
    "SecurityProtocol",
    "TokenSource",
]

TokenSource = Callable[[], Awaitable[str]]


class SecurityProtocol(StrEnum):
    """What a listener speaks."""

    PLAINTEXT = "PLAINTEXT"
    SSL = "SSL"
    SASL_PLAINTEXT = "SASL_PLAINTEXT"
    SASL_SSL = "SASL_SSL"

    @property
    def is_encrypted(self) -> bool:
        """Whether it is TLS."""
        return self in (SecurityProtocol.SSL, SecurityProtocol.SASL_SSL)

    @property
    def is_authenticated(self) -> bool:
        """Whether it is SASL."""
        return self in (SecurityProtocol.SASL_PLAINTEXT, SecurityProtocol.SASL_SSL)


class SaslMechanism(StrEnum):
    """How a client proves who it is."""

    PLAIN = "PLAIN"
    SCRAM_SHA_256 = "SCRAM-SHA-256"
    SCRAM_SHA_512 = "SCRAM-SHA-512"
    OAUTHBEARER = "OAUTHBEARER"


class Compression(StrEnum):
    """Codecs of record batches."""

    NONE = "none"
    GZIP = "gzip"
    SNAPPY = "snappy"
    LZ4 = "lz4"
    ZSTD = "zstd"


class SecurityOptions(msgspec.Struct, frozen=True, kw_only=True):
    """Encryption and identity. Files are PEM; `check_hostname` False accepts a certificate of another name."""

    protocol: SecurityProtocol = SecurityProtocol.PLAINTEXT
    mechanism: SaslMechanism | None = None
    username: str | None = None
    password: str | None = None
    token_source: TokenSource | None = None
    ca_file: str | None = None
    certificate_file: str | None = None
    key_file: str | None = None
    key_password: str | None = None
    check_hostname: bool = True

    def __repr__(self) -> str:
        return f"SecurityOptions({self.protocol}, {self.mechanism or 'no SASL'}, user {self.username!r})"

    def check(self) -> None:
        """ConfigurationError when the parts do not fit together."""
        if not self.protocol.is_authenticated:
            if self.mechanism is not None:
                raise ConfigurationError(
                    f"SASL mechanism {self.mechanism} needs protocol SASL_SSL or SASL_PLAINTEXT, not {self.protocol}"
                )
        elif self.mechanism is None:
            raise ConfigurationError(f"protocol {self.protocol} needs a SASL mechanism")
        elif self.mechanism is SaslMechanism.OAUTHBEARER:
            if self.token_source is None:
                raise ConfigurationError("OAUTHBEARER needs a token source")
        elif not self.username or self.password is None:
            raise ConfigurationError(f"SASL mechanism {self.mechanism} needs a user name and a password")
        if not self.protocol.is_encrypted and (self.ca_file or self.certificate_file):
            raise ConfigurationError(f"certificates are given, but protocol {self.protocol} does not encrypt")
        if self.key_file is not None and self.certificate_file is None:
            raise ConfigurationError("a client key needs its certificate")

    def ssl_context(self) -> ssl.SSLContext | None:
        """The TLS context, None when nothing is encrypted."""
        if not self.protocol.is_encrypted:
            return None
        try:
            context = ssl.create_default_context(cafile=self.ca_file)
            context.check_hostname = self.check_hostname
            if self.certificate_file is not None:
                context.load_cert_chain(self.certificate_file, self.key_file, self.key_password)
        except (OSError, ssl.SSLError) as error:
            named = ", ".join(filter(None, (self.ca_file, self.certificate_file, self.key_file)))
            raise ConfigurationError(f"the TLS files cannot be used ({named}): {error}") from error
        return context

    def arguments(self) -> dict[str, Any]:
        """The driver's arguments."""
        self.check()
        arguments: dict[str, Any] = {
            "security_protocol": self.protocol.value,
            "ssl_context": self.ssl_context(),
        }
        if self.mechanism is not None:
            arguments["sasl_mechanism"] = self.mechanism.value
            if self.token_source is not None:
                arguments["sasl_oauth_token_provider"] = _TokenProvider(self.token_source)
            else:
                arguments["sasl_plain_username"] = self.username
                arguments["sasl_plain_password"] = self.password
        return arguments


class KafkaOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How patient and how greedy the clients are.

    `delivery_timeout` seconds is how long a sent batch may stay unacknowledged before it counts as failed; the driver
    retries until then. A batch's size is bounded by `max_batch_bytes`; a topic's `max.message.bytes` must accept it.
    """

    delivery_timeout: float = 30.0
    request_timeout: float = 20.0
    connect_timeout: float = 10.0
    max_batch_bytes: int = 512 * 1024
    fetch_wait_ms: int = 200
    fetch_partition_bytes: int = 4 * 1024 * 1024
    compression: Compression = Compression.NONE


class _TokenProvider(AbstractTokenProvider):
    """A token source as the driver wants it."""

    def __init__(self, source: TokenSource) -> None:
        self._source = source

    async def token(self) -> str:  # pyright: ignore[reportIncompatibleMethodOverride] - untyped there
        return await asyncio.wait_for(self._source(), 30)
