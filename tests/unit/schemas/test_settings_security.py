"""Secrets are references and never shown; ways into the cluster that would show them are refused."""

from pathlib import Path
from typing import Any

import pytest

from tasker_kafka.schemas.errors import ConfigurationError
from tasker_kafka.schemas.settings import InvalidSettings, Secret, explain, load_settings, show

PREFIX = "TASKER_BROKER__SECURITY__"


def load(**security: str) -> Any:
    return load_settings(environ={PREFIX + name.upper(): value for name, value in security.items()})


def problem(**security: str) -> str:
    with pytest.raises(InvalidSettings) as caught:
        load(**security)
    (finding,) = caught.value.findings
    return f"{finding.path}: {finding.message}"


@pytest.mark.parametrize(
    "security",
    [
        {},
        {"protocol": "SSL", "ca_file": "/ca"},
        {"protocol": "SSL", "certificate_file": "/c", "key_file": "/k", "key_password": "file:/p"},
        {"protocol": "SASL_SSL", "mechanism": "PLAIN", "username": "u", "password": "env:P"},
        {"protocol": "SASL_SSL", "mechanism": "SCRAM-SHA-512", "username": "u", "password": "env:P"},
        {"protocol": "SASL_PLAINTEXT", "mechanism": "SCRAM-SHA-256", "username": "u", "password": "env:P"},
        {"protocol": "SASL_SSL", "mechanism": "OAUTHBEARER", "token": "file:/t"},
    ],
)
def test_ways_in_that_hold(security: dict[str, str]) -> None:
    assert load(**security).broker.security.protocol == security.get("protocol", "PLAINTEXT")


@pytest.mark.parametrize(
    ("security", "expected"),
    [
        (
            {"protocol": "SASL_PLAINTEXT", "mechanism": "PLAIN", "username": "u", "password": "env:P"},
            "PLAIN over SASL_PLAINTEXT sends the password readable: use SASL_SSL, or a SCRAM mechanism",
        ),
        (
            {"protocol": "SASL_PLAINTEXT", "mechanism": "OAUTHBEARER", "token": "env:T"},
            "OAUTHBEARER over SASL_PLAINTEXT sends the token readable: use SASL_SSL",
        ),
        ({"protocol": "SASL_SSL"}, "protocol SASL_SSL needs a mechanism, as SCRAM-SHA-512"),
        ({"mechanism": "PLAIN"}, "mechanism PLAIN needs protocol SASL_SSL"),
        ({"protocol": "SASL_SSL", "mechanism": "PLAIN"}, "mechanism PLAIN needs username and password"),
        ({"protocol": "SASL_SSL", "mechanism": "OAUTHBEARER"}, "OAUTHBEARER needs a token"),
        (
            {"ca_file": "/ca"},
            "ca_file is given, but protocol PLAINTEXT does not encrypt: use SSL or SASL_SSL",
        ),
        ({"protocol": "SSL", "key_file": "/k"}, "key_file needs certificate_file"),
    ],
)
def test_ways_in_that_are_refused(security: dict[str, str], expected: str) -> None:
    assert problem(**security) == f"broker.security: {expected}"


@pytest.mark.parametrize("secret", ["hunter2", "env:", "file: ", "vault:x", ""])
def test_a_secret_itself_is_refused_and_not_repeated(secret: str) -> None:
    with pytest.raises(ValueError, match="a secret is a reference") as raised:
        Secret(secret)
    assert "hunter2" not in str(raised.value)
    if secret:
        found = problem(password=secret)
        assert found.startswith(
            "broker.security.password: a secret is a reference: `env:NAME` or `file:/path`"
        )
        assert "hunter2" not in found


def test_a_secret_is_shown_nowhere() -> None:
    settings = load(protocol="SASL_SSL", mechanism="PLAIN", username="u", password="env:HIDDEN_PLACE")
    (explanation,) = explain(settings, "broker.security.password")
    shown = [
        repr(settings),
        str(settings.broker.security.password),
        settings.model_dump_json(),
        str(settings.model_dump()),
        str(show(settings)),
        str(explanation),
        f"{settings.broker.security.password!r:>10}",
    ]
    for text in shown:
        assert "***" in text
        assert "HIDDEN_PLACE" not in text
    assert explanation.value == show(settings)["broker.security.password"] == "***"


def test_secrets_are_read_when_they_are_needed(tmp_path: Path) -> None:
    assert Secret("env:P").read({"P": "hunter2"}) == "hunter2"
    path = tmp_path / "password"
    path.write_text("first\n")
    secret = Secret(f"file:{path}")
    assert secret.read() == "first"
    path.write_text("second")
    assert secret.read() == "second"


@pytest.mark.parametrize("environ", [{}, {"P": ""}])
def test_a_missing_secret_says_what_to_do(environ: dict[str, str]) -> None:
    with pytest.raises(ConfigurationError, match=r"env:P is not set or empty[\s\S]*set the variable P"):
        Secret("env:P").read(environ)


def test_a_secret_file_that_cannot_be_read_says_why(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"cannot be read: No such file"):
        Secret(f"file:{tmp_path}/nothing").read()
    (tmp_path / "empty").write_text("\n")
    with pytest.raises(ConfigurationError, match="not set or empty"):
        Secret(f"file:{tmp_path}/empty").read()
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigurationError, match="not UTF-8"):
        Secret(f"file:{tmp_path}/binary").read()


def test_references_compare_by_what_they_name() -> None:
    assert Secret("env:A") == Secret("env:A")
    assert Secret("env:A") != Secret("file:A")
    assert len({Secret("env:A"), Secret("env:A"), Secret("env:B")}) == 2
