"""Redaction by name, in values of every kind, and what happens when the filter fails."""
# ruff: noqa: E501 - one row per filter

import re
from dataclasses import dataclass
from enum import Enum
from typing import Any

import msgspec
import pytest
from pydantic import BaseModel

from tasker_kafka.schemas import redaction
from tasker_kafka.schemas.errors import ConfigurationError
from tasker_kafka.schemas.records import DomainEvent, Rejection, TaskRequest
from tasker_kafka.schemas.redaction import (
    ENVELOPE_FIELDS,
    Redactor,
    redact,
    redact_exception,
    redact_text,
    use_redactor,
)
from tasker_kafka.schemas.redaction_names import split_words

MASK = "[FILTERED]"
DEFAULT = Redactor()


@pytest.mark.parametrize(
    "key",
    [
        "password", "passwd", "passwords", "Password", "PASSWORD", "userPassword", "user_password2", "pass-word",
        "passWord", "db.password", "email", "emails", "emailAddress", "e-mail", "customer_email", "secret",
        "clientSecret", "secrets", "token", "tokens", "access_token", "accessToken", "TOKEN_2", "token2", "api_key",
        "apiKey", "apikey", "APIKey", "API-KEY", "x-api-key", "api_keys", "private_key", "privateKey", "access_key",
        "AccessKeyId", "encrypted", "decryptKey", "crypt", "bcrypt_hash", "salt", "salts", "certificate", "otp",
        "otp1", "otpCode", "ssn", "SSN", "cardSsn", "card_ssn", "card-ssn", "CardSSN", "card ssn", "ssn4",
        "pass\u200bword", "to\u00adken", "s\u2060s\ufe0fn", "ｐａｓｓｗｏｒｄ", "ｔｏｋｅｎ",
    ],
)  # fmt: skip
def test_names_of_secrets(key: str) -> None:
    assert DEFAULT.redact({key: "x", "other": [{key: 1}]}) == {key: MASK, "other": [{key: MASK}]}


@pytest.mark.parametrize(
    "key",
    [
        "business_name", "idempotency_key", "key", "name", "basalt", "tokenizer", "laptop", "adoption", "message",
        "assembly", "public_key", "author", "access", "api", "compass", "bypass", "classname", "session", "mission",
        "hotpink", "script", "", "_", "123",
    ],
)  # fmt: skip
def test_names_that_only_contain_one(key: str) -> None:
    assert DEFAULT.redact({key: "x"}) == {key: "x"}


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("cardSsn", ("card", "ssn")),
        ("HTTPServerID2", ("http", "server", "id", "2")),
        ("card-ssn__x", ("card", "ssn", "x")),
        ("ÜberTräger", ("über", "träger")),
        ("a1b2", ("a", "1", "b", "2")),
        ("", ()),
    ],
)
def test_words(key: str, words: tuple[str, ...]) -> None:
    assert split_words(key) == words


@pytest.mark.parametrize(
    ("filters", "value", "expected"),
    [
        (["customer.card"], {"customer": {"card": 1, "x": 2}, "card": 3}, {"customer": {"card": MASK, "x": 2}, "card": 3}),
        (["customer.card"], {"a": {"customers": [{"cardNumber": {"deep": 1}}]}}, {"a": {"customers": [{"cardNumber": MASK}]}}),
        (["customer.card"], {"customer.card": 1}, {"customer.card": MASK}),
        (["customer.card"], {"customer": {"address": {"card": 1}}}, {"customer": {"address": {"card": 1}}}),
        (["a.b.c"], {"a": {"b": {"c": 1}}, "b": {"c": 2}}, {"a": {"b": {"c": MASK}}, "b": {"c": 2}}),
        (["/^x-/"], {"x-one": 1, "ax-one": 2}, {"x-one": MASK, "ax-one": 2}),
        (["/person\\.name$/"], {"person": {"name": 1}, "name": 2}, {"person": {"name": MASK}, "name": 2}),
        (["pin*"], {"pincode": 1, "pin_code": 2, "spin": 3}, {"pincode": MASK, "pin_code": MASK, "spin": 3}),
        (["*code"], {"zipcode": 1, "code": 2, "coder": 3}, {"zipcode": MASK, "code": MASK, "coder": 3}),
        (["пароль"], {"Пароль": 1, "пароли": 2}, {"Пароль": MASK, "пароли": 2}),
        (["s3_key"], {"s3Key": 1, "key": 2}, {"s3Key": MASK, "key": 2}),
        ([], {"password": 1}, {"password": 1}),
    ],
)  # fmt: skip
def test_filters(filters: list[str], value: Any, expected: Any) -> None:
    assert Redactor(filters).redact(value) == expected


@pytest.mark.parametrize("text", ["", "-", "*", "a..b", ".", "/(/"])
def test_a_filter_that_means_nothing_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationError, match="filter"):
        Redactor([text])


def test_the_mask_can_be_chosen() -> None:
    redactor = Redactor(["pin"], r"\1***")
    assert redactor.redact({"pin": 1, "x": "pin=5 Bearer abcdef123"}) == {
        "pin": r"\1***",
        "x": r"pin=\1*** Bearer \1***",
    }


class _Color(Enum):
    RED = "token=abc"


class _Record(msgspec.Struct):
    password: str
    name: str


@dataclass
class _Data:
    password: str
    inner: _Record


class _Model(BaseModel):
    secret: str
    name: str


class _Thing:
    def __repr__(self) -> str:
        return "<Thing password='hunter2'>"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, None),
        (True, True),
        (1.5, 1.5),
        (7, 7),
        ("plain", "plain"),
        ({"token": None}, {"token": None}),
        ({"token": False}, {"token": MASK}),
        ({"token": {"a": [1]}}, {"token": MASK}),
        ((1, {"token": 2}), [1, {"token": MASK}]),
        (4111111111111111, MASK),
        ({"n": 4111111111111111.0}, {"n": MASK}),
        (1763726400000, 1763726400000),
        (b"password=hunter2 x", f"password={MASK} x".encode()),
        (b"\xff\xfepassword=hunter2", b"\xff\xfepassword=" + MASK.encode()),
        (b"\x00\x01\xff", b"\x00\x01\xff"),
        (_Color.RED, f"token={MASK}"),
        (_Record("hunter2", "n"), {"password": MASK, "name": "n"}),
        (
            _Data("hunter2", _Record("hunter2", "n")),
            {"password": MASK, "inner": {"password": MASK, "name": "n"}},
        ),
        (_Model(secret="hunter2", name="n"), {"secret": MASK, "name": "n"}),
        (ValueError("token=abc"), f"ValueError: token={MASK}"),
        (_Thing(), f"<Thing password='{MASK}'>"),
        ({1: "token=abc"}, {1: f"token={MASK}"}),
        ({"Bearer abcdefgh": 1, "Bearer abcdefgi": 2}, {f"Bearer {MASK}": 1, f"Bearer {MASK}'": 2}),
        ('{"customer": {"password": {"a": 1}}}', '{"customer": {"password": "[FILTERED]"}}'),
        ('{"a":  1}', '{"a":  1}'),
    ],
)
def test_values_of_every_kind(value: Any, expected: Any) -> None:
    assert DEFAULT.redact(value) == expected


def test_the_value_itself_is_not_changed() -> None:
    value = {"a": {"password": "x"}, "b": [{"token": 1}]}
    DEFAULT.redact(value)
    assert value == {"a": {"password": "x"}, "b": [{"token": 1}]}


def test_names_in_json_text_count_with_their_path() -> None:
    redactor = Redactor(["customer.card"])
    assert (
        redactor.redact_text('{"customer":{"card":1},"card":2}')
        == '{"customer": {"card": "[FILTERED]"}, "card": 2}'
    )


def test_our_own_fields_are_exempt_and_what_is_in_them_is_not() -> None:
    redactor = Redactor(["name", "key", "id", "token"])
    event = {"task_id": "t", "name": "payment.charged", "key": "Bearer abcdef123", "payload": {"name": "Bob"}}
    assert redactor.redact(event, envelope=True) == {
        "task_id": "t",
        "name": "payment.charged",
        "key": f"Bearer {MASK}",
        "payload": {"name": MASK},
    }
    assert redactor.redact(event)["name"] == MASK


@pytest.mark.parametrize(
    "field", ["context", "payload", "result", "reason", "message", "headers", "value", "metadata"]
)
def test_fields_that_hold_what_users_wrote_are_not_exempt(field: str) -> None:
    records = (TaskRequest, DomainEvent, Rejection)
    assert any(field in each.__struct_fields__ for each in records) or field in {"result", "metadata"}
    assert field not in ENVELOPE_FIELDS


def test_exceptions_lose_their_secrets_and_keep_their_end() -> None:
    try:
        raise RuntimeError("cannot log in with password=hunter2")
    except RuntimeError as error:
        text = redact_exception(error)
        short = redact_exception(error, max_bytes=40)
    assert "hunter2" not in text
    assert text.rstrip().endswith(f"RuntimeError: cannot log in with password={MASK}")
    assert len(short.encode()) <= 40
    assert text.endswith(short)


# ---------------------------------------------------------------- when the filter fails


class _Broken:
    def __repr__(self) -> str:
        raise RuntimeError("no")


def test_what_cannot_be_shown_is_masked() -> None:
    assert DEFAULT.redact({"a": _Broken()}) == MASK
    loop: dict[str, Any] = {}
    loop["self"] = loop
    assert DEFAULT.redact(loop) == MASK
    assert DEFAULT.redact_exception(_failing_error()) == MASK or "hunter2" not in DEFAULT.redact_exception(
        _failing_error()
    )


def _failing_error() -> Exception:
    class _Error(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no")

    return _Error("password=hunter2")


def test_a_failing_filter_masks_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> Any:
        raise RuntimeError("the filter is broken")

    monkeypatch.setattr(redaction, "mask_secrets", fail)
    redactor = Redactor()
    assert redactor.redact_text("some harmless text") == MASK
    assert redactor.redact({"a": "some harmless text"}) == MASK
    monkeypatch.setattr(redactor._names, "matches", fail)
    assert redactor.redact({"a": 1}) == MASK


def test_a_name_too_long_to_be_one_is_masked() -> None:
    assert DEFAULT.redact({"a" * 513: 1, "b" * 512: 2}) == {"a" * 513: MASK, "b" * 512: 2}


# ---------------------------------------------------------------- the process's own redactor


def test_each_role_installs_its_redactor() -> None:
    before = redaction.current_redactor()
    try:
        use_redactor(Redactor(["pin"], "***"))
        assert redact({"pin": 1, "password": 2}) == {"pin": "***", "password": 2}
        assert redact_text("pin=1 password=2") == "pin=*** password=2"
    finally:
        use_redactor(before)
    assert re.fullmatch(r"password=\[FILTERED\]", redact_text("password=2"))
