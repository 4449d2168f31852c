"""Settings of the cluster and its topics: where it is, how to get in, how long records stay."""

from __future__ import annotations

import re
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, model_validator

from tasker_kafka.schemas.errors import ConfigurationError

from .secrets import SecretSetting
from .section import Section, refuse, setting

__all__ = ["BrokerSettings", "RegistrySettings", "SecuritySettings", "TopicSettings"]

_HOST = re.compile(r"(?:[A-Za-z0-9_.-]+|\[[0-9A-Fa-f:.]+\]):[0-9]{1,5}")


def _check_bootstrap(text: str) -> str:
    addresses = [each.strip() for each in text.split(",")]
    for each in addresses:
        if not _HOST.fullmatch(each) or not 0 < int(each.rpartition(":")[2]) < 65_536:
            raise refuse(
                "bad_address", f"{each[:80]!r} is no address; write host:port, several with commas between"
            )
    return ",".join(addresses)


def _check_url(text: str) -> str:
    address = urlsplit(text)
    if address.scheme not in {"http", "https"} or not address.hostname:
        raise refuse("bad_url", "write http://host:port or https://host:port, with a path if it has one")
    if address.username or address.password:
        raise refuse("secret_in_url", "the URL holds credentials: give them as username and password")
    return text


class SecuritySettings(Section):
    """How clients prove who they are, and what they trust. Host names are always checked with TLS."""

    protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = setting(
        "PLAINTEXT", "What the listener speaks: TLS or not, SASL or not."
    )
    mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"] | None = setting(
        None, "How SASL proves the identity. PLAIN only with SASL_SSL."
    )
    username: str | None = setting(None, "SASL user name.")
    password: SecretSetting | None = setting(None, "SASL password: `env:NAME` or `file:/path`.")
    token: SecretSetting | None = setting(
        None, "OAUTHBEARER token: `env:NAME` or `file:/path`; read again whenever the broker asks for one."
    )
    ca_file: str | None = setting(None, "PEM file of trusted authorities; default the system's.")
    certificate_file: str | None = setting(None, "PEM file of the client's certificate (mutual TLS).")
    key_file: str | None = setting(None, "PEM file of the client's private key.")
    key_password: SecretSetting | None = setting(None, "Password of `key_file`: `env:NAME` or `file:/path`.")

    @model_validator(mode="after")
    def _check(self) -> Self:
        for problem in (self._sasl_problem(), self._tls_problem()):
            if problem is not None:
                raise refuse("bad_security", problem)
        return self

    def _sasl_problem(self) -> str | None:
        if not self.protocol.startswith("SASL"):
            return None if self.mechanism is None else f"mechanism {self.mechanism} needs protocol SASL_SSL"
        if self.mechanism is None:
            return f"protocol {self.protocol} needs a mechanism, as SCRAM-SHA-512"
        if self.mechanism == "OAUTHBEARER":
            return "OAUTHBEARER needs a token" if self.token is None else self._readable_problem("token")
        if self.username is None or self.password is None:
            return f"mechanism {self.mechanism} needs username and password"
        return self._readable_problem("password") if self.mechanism == "PLAIN" else None

    def _readable_problem(self, secret: str) -> str | None:
        if self.protocol == "SASL_SSL":
            return None
        return f"{self.mechanism} over {self.protocol} sends the {secret} readable: use SASL_SSL" + (
            ", or a SCRAM mechanism" if self.mechanism == "PLAIN" else ""
        )

    def _tls_problem(self) -> str | None:
        files = [
            each for each in ("ca_file", "certificate_file", "key_file") if getattr(self, each) is not None
        ]
        if files and not self.protocol.endswith("SSL"):
            return f"{files[0]} is given, but protocol {self.protocol} does not encrypt: use SSL or SASL_SSL"
        if self.key_file is not None and self.certificate_file is None:
            return "key_file needs certificate_file"
        return None


class RegistrySettings(Section):
    """A schema registry (Confluent's API). Without one, records name their schema by fingerprint."""

    url: Annotated[str, AfterValidator(_check_url)] | None = setting(
        None,
        "Where it is; records are then written in its framing. All processes of an installation need the same.",
    )
    username: str | None = setting(None, "User name of basic authentication.")
    password: SecretSetting | None = setting(
        None, "Password of basic authentication: `env:NAME` or `file:/path`."
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.username is None) != (self.password is None):
            raise refuse("half_credentials", "username and password go together")
        return self


class BrokerSettings(Section):
    """The Kafka cluster."""

    bootstrap: Annotated[str, AfterValidator(_check_bootstrap)] | None = setting(
        None, "Addresses of some brokers, host:port with commas between (variable TASKER_BROKER)."
    )
    delivery_timeout_seconds: float = setting(
        30.0,
        "How long a written record may stay unacknowledged.",
        zero="refused: nothing could be written",
        gt=0,
    )
    request_timeout_seconds: float = setting(
        20.0, "How long a broker may take to answer.", zero="refused: nothing could be asked", gt=0
    )
    connect_timeout_seconds: float = setting(
        10.0, "How long the first contact may take.", zero="refused: nothing could be reached", gt=0
    )
    compression: Literal["none", "gzip", "snappy", "lz4", "zstd"] = setting(
        "none", "Codec of record batches."
    )
    security: SecuritySettings = SecuritySettings()
    schema_registry: RegistrySettings = RegistrySettings()

    def address(self) -> str:
        """The bootstrap servers; ConfigurationError where none are set."""
        if self.bootstrap is None:
            raise ConfigurationError(
                "broker.bootstrap is not set: where is the cluster?",
                next_step="set TASKER_BROKER=host:port, or try `tasker dev`, which starts a broker of its own",
            )
        return self.bootstrap


class TopicSettings(Section):
    """Topics as `tasker topics create` makes them and every role expects them."""

    partitions: int = setting(
        8,
        "Partitions of requests, commands, transitions and state: how many orchestrators can share the work. Fixed "
        "once tasks exist.",
        zero="refused",
        ge=1,
        le=1_000,
    )
    queue_partitions: int | None = setting(
        None,
        "Partitions of each queue: how many workers can share it; default as `partitions`.",
        zero="refused",
        ge=1,
    )
    replication_factor: int = setting(
        0,
        "Copies of each record; from 3 on a write needs two of them.",
        zero="as the broker's own default",
        ge=0,
        le=15,
    )
    transitions_retention_days: int = setting(365, "How long history is kept.", zero="for ever", ge=0)
    requests_retention_days: int = setting(
        7, "How long requests, commands and dispatches wait for an outage to end.", zero="refused", ge=1
    )
    payloads_retention_days: int = setting(
        90,
        "How long large contexts and results are kept; at least as long as the longest task lasts.",
        zero="refused",
        ge=1,
    )
    events_retention_days: int = setting(30, "How long domain events are kept.", zero="refused", ge=1)
