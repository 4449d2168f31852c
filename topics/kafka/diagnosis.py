"""Why a cluster cannot be reached. The driver says "unable to bootstrap" for every cause; an operator needs the cause.

Each address is tried again by hand: a connection with the given options, whose own error tells most causes apart, and
where it does not (a listener of another protocol just hangs up) a look at how the listener answers a plain question.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
from enum import Enum, auto
from typing import Any

from aiokafka import errors
from aiokafka.conn import collect_hosts, create_conn
from aiokafka.protocol.metadata import MetadataRequest

from tasker_kafka.schemas.errors import BrokerUnavailable
from tasker_kafka.topics.kafka.options import SecurityOptions

__all__ = ["diagnose"]

_PATIENCE_SECONDS = 3.0
# ApiVersions, version 0, correlation id 1, client id "tasker".
_QUESTION = struct.pack(">hhih", 18, 0, 1, 6) + b"tasker"
_TLS_ALERT = 0x15

Finding = tuple[str, str]


class _Listener(Enum):
    """How a listener takes a question that is neither encrypted nor authenticated."""

    ANSWERS = auto()
    SPEAKS_TLS = auto()
    HANGS_UP = auto()


async def diagnose(bootstrap: str, security: SecurityOptions) -> BrokerUnavailable:
    """The error to raise when `bootstrap` could not be reached: every address with its likely cause."""
    findings = []
    for host, port, _ in collect_hosts(bootstrap, randomize=False):
        cause, way_out = await _examine(host, port, security)
        findings.append((f"{host}:{port}: {cause}", way_out))
    text = "no broker can be used\n" + "\n".join(f"  {cause}" for cause, _ in findings)
    ways_out = list(dict.fromkeys(way_out for _, way_out in findings))
    return BrokerUnavailable(text, next_step="; or ".join(ways_out) or "check the address")


async def _examine(host: str, port: int, security: SecurityOptions) -> Finding:
    try:
        listener = await _ask_plainly(host, port)
    except socket.gaierror:
        return f"the name {host!r} does not resolve", "check the host name"
    except TimeoutError:
        return "no answer (wrong address, or a firewall)", "check the address and the network"
    except ConnectionRefusedError:
        return "nothing listens there", "start the broker (tasker broker start) or check the address"
    except OSError as error:
        return f"cannot connect: {error}", "check the address and the network"
    if mismatch := _protocol_mismatch(listener, security):
        return mismatch
    try:
        connection = await create_conn(
            host, port, request_timeout_ms=int(_PATIENCE_SECONDS * 1000), **_arguments(security)
        )
    except Exception as error:
        return _of_connection(error, security)
    try:
        await connection.send(MetadataRequest([]))
    except Exception:
        return _of_first_request(security)
    finally:
        connection.close()
    return (
        "this address answers now, but the brokers it names could not be reached",
        "check the brokers' advertised listeners, or try again",
    )


async def _ask_plainly(host: str, port: int) -> _Listener:
    async with asyncio.timeout(_PATIENCE_SECONDS):
        reader, writer = await asyncio.open_connection(host, port)
    try:
        writer.write(struct.pack(">i", len(_QUESTION)) + _QUESTION)
        async with asyncio.timeout(_PATIENCE_SECONDS):
            head = await reader.readexactly(8)
    except (TimeoutError, asyncio.IncompleteReadError, ConnectionError) as error:
        partial = getattr(error, "partial", b"")
        return _Listener.SPEAKS_TLS if partial[:1] == bytes([_TLS_ALERT]) else _Listener.HANGS_UP
    finally:
        writer.close()
    return _Listener.ANSWERS if head[4:] == struct.pack(">i", 1) else _Listener.HANGS_UP


def _protocol_mismatch(listener: _Listener, security: SecurityOptions) -> Finding | None:
    if listener is _Listener.ANSWERS and security.protocol.is_encrypted:
        return (
            f"the listener does not encrypt, but the protocol is set to {security.protocol}",
            "set the protocol to PLAINTEXT or SASL_PLAINTEXT, or use the port of the TLS listener",
        )
    if listener is _Listener.SPEAKS_TLS and not security.protocol.is_encrypted:
        return (
            f"the listener expects TLS, but the protocol is set to {security.protocol}",
            "set the protocol to SSL or SASL_SSL",
        )
    if listener is _Listener.HANGS_UP and not security.protocol.is_encrypted:
        return (
            "it hung up on a Kafka request: it expects TLS, or is no Kafka broker",
            "set the protocol to SSL or SASL_SSL, or check the port",
        )
    return None


def _of_connection(error: BaseException, security: SecurityOptions) -> Finding:
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return (
                f"its certificate is not trusted: {cause.verify_message}",
                "give the certificate authority's file (and a name the certificate is for)",
            )
        if isinstance(cause, errors.UnsupportedSaslMechanismError):
            return f"it does not offer SASL mechanism {security.mechanism}", "use one of its mechanisms"
        if isinstance(cause, (errors.SaslAuthenticationFailed, errors.AuthenticationFailedError)):
            return f"it refused the credentials of user {security.username!r}", "check user name and password"
        cause = cause.__cause__ or cause.__context__
    if security.protocol.is_authenticated:
        return (
            f"it hung up while user {security.username!r} authenticated with {security.mechanism}: {error}",
            "check user name, password and mechanism",
        )
    if security.protocol.is_encrypted:
        return _of_first_request(security)
    return f"{type(error).__name__}: {error}", "check the address"


def _of_first_request(security: SecurityOptions) -> Finding:
    if security.protocol.is_encrypted and not security.protocol.is_authenticated:
        missing = (
            "the client certificate is not accepted" if security.certificate_file else "no client certificate"
        )
        return (
            f"it hung up after the TLS handshake ({missing}, or the listener wants SASL)",
            "give a client certificate it trusts, or set the protocol to SASL_SSL",
        )
    return (
        "it hung up on the first request: the listener wants SASL authentication",
        "set the protocol to SASL_PLAINTEXT or SASL_SSL, with a mechanism and credentials",
    )


def _arguments(security: SecurityOptions) -> dict[str, Any]:
    return security.arguments()
