"""Ways to a cluster: encryption and identity, and what is said when they fail."""

from __future__ import annotations

import datetime
import ipaddress
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tasker_kafka.schemas.errors import BrokerUnavailable, ConfigurationError
from tasker_kafka.topics.brokers import EmbeddedBroker
from tasker_kafka.topics.brokers.errors import BrokerNotSupported
from tasker_kafka.topics.kafka import KafkaLog, KafkaOptions, SaslMechanism, SecurityOptions, SecurityProtocol
from tasker_kafka.topics.log import TopicDescription, TopicPartition, Write
from tests.support.brokers import no_broker
from tests.support.log_sides import drain

OPTIONS = KafkaOptions(connect_timeout=5.0, request_timeout=5.0)
PASSWORD = "letmein"


class Certificates:
    """An authority, a broker's certificate for 127.0.0.1 and a client's, as PEM files."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._authority = self._sign("authority", self._key, is_authority=True)
        self.ca_file = self._write("ca.pem", self._authority.public_bytes(serialization.Encoding.PEM))
        self.broker_pem = self._pair("broker")
        self.client_pem = self._pair("client")

    def _pair(self, name: str) -> str:
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = self._sign(name, key)
        text = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ) + certificate.public_bytes(serialization.Encoding.PEM)
        return self._write(f"{name}.pem", text)

    def _sign(
        self, name: str, key: ec.EllipticCurvePrivateKey, *, is_authority: bool = False
    ) -> x509.Certificate:
        now = datetime.datetime.now(datetime.UTC)
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        issuer = subject if is_authority else self._authority.subject
        address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
        builder = x509.CertificateBuilder(issuer, subject, key.public_key(), x509.random_serial_number())
        return (
            builder.not_valid_before(now - datetime.timedelta(hours=1))
            .not_valid_after(now + datetime.timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
            .add_extension(x509.SubjectAlternativeName([address]), critical=False)
            .sign(self._key, hashes.SHA256())
        )

    def _write(self, name: str, content: bytes) -> str:
        path = self._folder / name
        path.write_bytes(content)
        return str(path)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """Certificates of an authority the broker does not know."""
    return Certificates(tmp_path_factory.mktemp("stranger"))


@pytest.fixture(scope="module")
def secured(certificates: Certificates) -> Iterator[EmbeddedBroker]:
    """A broker with a listener of each kind."""
    settings = {
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": certificates.broker_pem,
        "ssl.truststore.type": "PEM",
        "ssl.truststore.location": certificates.ca_file,
        "listener.name.mutual.ssl.client.auth": "required",
    }
    module = "org.apache.kafka.common.security"
    for listener in ("users", "usersplain"):
        settings[f"listener.name.{listener}.sasl.enabled.mechanisms"] = "SCRAM-SHA-512,PLAIN"
        settings[f"listener.name.{listener}.scram-sha-512.sasl.jaas.config"] = (
            f"{module}.scram.ScramLoginModule required;"
        )
        settings[f"listener.name.{listener}.plain.sasl.jaas.config"] = (
            f'{module}.plain.PlainLoginModule required user_bob="{PASSWORD}";'
        )
    try:
        with EmbeddedBroker.start(
            listeners={
                "ENCRYPTED": "SSL",
                "MUTUAL": "SSL",
                "USERS": "SASL_SSL",
                "USERSPLAIN": "SASL_PLAINTEXT",
            },
            settings=settings,
            format_arguments=["--add-scram", f"SCRAM-SHA-512=[name=alice,password={PASSWORD}]"],
        ) as broker:
            yield broker
    except BrokerNotSupported as error:
        no_broker(error)


async def use(address: str, security: SecurityOptions, topic: str) -> None:
    """Everything a log does, once."""
    log = KafkaLog(address, security=security, options=OPTIONS)
    await log.start()
    await log.admin().create([TopicDescription(topic, 1, 1, {})])
    outbox = await log.outbox(client_id="test")
    await outbox.write(Write(topic, None, b"written"))
    assert [record.value for record in await drain(log, TopicPartition(topic, 0))] == [b"written"]
    await log.close()


async def refusal(address: str, security: SecurityOptions | None = None) -> str:
    """What `start` says."""
    log = KafkaLog(address, security=security, options=OPTIONS)
    with pytest.raises(BrokerUnavailable) as refused:
        await log.start()
    await log.close()
    assert address.split(",", maxsplit=1)[0] in str(refused.value)
    return str(refused.value)


def as_user(certificates: Certificates | None, **arguments: str) -> SecurityOptions:
    """alice by SCRAM, with or without TLS."""
    return SecurityOptions(
        protocol=SecurityProtocol.SASL_PLAINTEXT if certificates is None else SecurityProtocol.SASL_SSL,
        mechanism=SaslMechanism(arguments.get("mechanism", "SCRAM-SHA-512")),
        username=arguments.get("username", "alice"),
        password=arguments.get("password", PASSWORD),
        ca_file=None if certificates is None else certificates.ca_file,
    )


def over_tls(certificates: Certificates, *, client: Certificates | None = None) -> SecurityOptions:
    return SecurityOptions(
        protocol=SecurityProtocol.SSL,
        ca_file=certificates.ca_file,
        certificate_file=None if client is None else client.client_pem,
    )


# ---------------------------------------------------------------- what works


async def test_tls(secured: EmbeddedBroker, certificates: Certificates, prefix: str) -> None:
    await use(secured.listener_address("ENCRYPTED"), over_tls(certificates), prefix)


async def test_mutual_tls(secured: EmbeddedBroker, certificates: Certificates, prefix: str) -> None:
    await use(secured.listener_address("MUTUAL"), over_tls(certificates, client=certificates), prefix)


async def test_scram_over_tls(secured: EmbeddedBroker, certificates: Certificates, prefix: str) -> None:
    await use(secured.listener_address("USERS"), as_user(certificates), prefix)


async def test_plain_password(secured: EmbeddedBroker, prefix: str) -> None:
    security = as_user(None, mechanism="PLAIN", username="bob")
    await use(secured.listener_address("USERSPLAIN"), security, prefix)


async def test_one_of_several_addresses_suffices(secured: EmbeddedBroker, prefix: str) -> None:
    await use(f"127.0.0.1:1,{secured.bootstrap_servers}", SecurityOptions(), prefix)


# ---------------------------------------------------------------- what is said when it does not


async def test_nothing_listens() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{taken.getsockname()[1]}"
    text = await refusal(address)
    assert "nothing listens there" in text
    assert "→ start the broker" in text


async def test_the_name_does_not_resolve() -> None:
    assert "does not resolve" in await refusal("no-such-host.invalid:9092")


async def test_every_address_is_named_with_its_cause() -> None:
    text = await refusal("127.0.0.1:1,no-such-host.invalid:9092")
    assert "127.0.0.1:1: nothing listens" in text
    assert "no-such-host.invalid:9092: the name" in text


async def test_no_tls_where_tls_is_expected(secured: EmbeddedBroker) -> None:
    text = await refusal(secured.listener_address("ENCRYPTED"))
    assert "expects TLS" in text
    assert "SSL or SASL_SSL" in text


async def test_tls_where_none_is_expected(secured: EmbeddedBroker, certificates: Certificates) -> None:
    text = await refusal(secured.bootstrap_servers, over_tls(certificates))
    assert "does not encrypt" in text


async def test_an_authority_that_is_not_trusted(secured: EmbeddedBroker, stranger: Certificates) -> None:
    text = await refusal(secured.listener_address("ENCRYPTED"), over_tls(stranger))
    assert "certificate is not trusted" in text
    assert "certificate authority" in text


async def test_no_client_certificate(secured: EmbeddedBroker, certificates: Certificates) -> None:
    text = await refusal(secured.listener_address("MUTUAL"), over_tls(certificates))
    assert "no client certificate" in text


async def test_a_client_certificate_of_a_stranger(
    secured: EmbeddedBroker, certificates: Certificates, stranger: Certificates
) -> None:
    text = await refusal(secured.listener_address("MUTUAL"), over_tls(certificates, client=stranger))
    assert "client certificate is not accepted" in text


async def test_a_wrong_password(secured: EmbeddedBroker, certificates: Certificates) -> None:
    for address, tls in (("USERS", certificates), ("USERSPLAIN", None)):
        for mechanism, user in (("SCRAM-SHA-512", "alice"), ("PLAIN", "bob")):
            security = as_user(tls, mechanism=mechanism, username=user, password="wrong")
            text = await refusal(secured.listener_address(address), security)
            assert f"refused the credentials of user '{user}'" in text
            assert "wrong" not in text


async def test_a_mechanism_that_is_not_offered(secured: EmbeddedBroker) -> None:
    text = await refusal(secured.listener_address("USERSPLAIN"), as_user(None, mechanism="SCRAM-SHA-256"))
    assert "does not offer SASL mechanism SCRAM-SHA-256" in text


async def test_no_credentials_where_some_are_expected(secured: EmbeddedBroker) -> None:
    text = await refusal(secured.listener_address("USERSPLAIN"))
    assert "wants SASL authentication" in text


async def test_something_else_listens() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        log = KafkaLog(
            f"127.0.0.1:{other.getsockname()[1]}",
            options=KafkaOptions(connect_timeout=1.0, request_timeout=1.0),
        )
        with pytest.raises(BrokerUnavailable, match="no Kafka broker"):
            await log.start()


@pytest.mark.parametrize(
    ("security", "fault"),
    [
        (SecurityOptions(protocol=SecurityProtocol.SASL_SSL), "needs a SASL mechanism"),
        (SecurityOptions(mechanism=SaslMechanism.PLAIN), "needs protocol SASL_SSL"),
        (
            SecurityOptions(
                protocol=SecurityProtocol.SASL_SSL, mechanism=SaslMechanism.PLAIN, username="alice"
            ),
            "needs a user name and a password",
        ),
        (
            SecurityOptions(protocol=SecurityProtocol.SASL_SSL, mechanism=SaslMechanism.OAUTHBEARER),
            "needs a token source",
        ),
        (SecurityOptions(ca_file="ca.pem"), "does not encrypt"),
        (SecurityOptions(protocol=SecurityProtocol.SSL, key_file="k"), "needs its certificate"),
        (
            SecurityOptions(protocol=SecurityProtocol.SSL, ca_file="/no/such/ca.pem"),
            "TLS files cannot be used",
        ),
    ],
)
async def test_options_that_do_not_fit_together(security: SecurityOptions, fault: str) -> None:
    with pytest.raises(ConfigurationError, match=fault):
        await KafkaLog("127.0.0.1:1", security=security).start()


def test_options_do_not_show_the_password() -> None:
    assert PASSWORD not in repr(as_user(None))
