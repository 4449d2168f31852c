"""Redaction by form: secrets inside texts, whatever they are called, and texts that only look like it."""

import pytest

from tasker_kafka.schemas.redaction import redact_text
from tasker_kafka.schemas.redaction_values import is_card_number

F = "[FILTERED]"
JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.abc-_x"
PEM = "-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Authorization: Bearer abc.def", f"Authorization: Bearer {F}"),
        ("bearer abc123", f"bearer {F}"),
        ("Bearer%20abcdefgh", f"Bearer%20{F}"),
        ("Authorization: Basic dXNlcjpwYXNz", f"Authorization: Basic {F}"),
        (f"got {JWT} back", f"got {F} back"),
        (f"x={JWT}", f"x={F}"),
        (f"id_{JWT}", f"id_{F}"),
        (f"a {PEM} b", f"a {F} b"),
        (PEM.replace("\n", "\\n"), F),
        ("cut off: -----BEGIN PRIVATE KEY-----\nMIIE", f"cut off: {F}"),
        ("AKIAIOSFODNN7EXAMPLE", F),
        ("key ASIAIOSFODNN7EXAMPLE.", f"key {F}."),
        ("AIza" + "a1-_b" * 7, F),
        ("ghp_" + "a1" * 18, F),
        ("github_pat_" + "a1" * 20, F),
        ("glpat-" + "a1" * 10, F),
        ("xoxb-123456789012-abc", F),
        ("sk_live_" + "a1" * 8, F),
        ("SG." + "a" * 20 + "." + "b" * 20, F),
        ("sk-" + "a1" * 20, F),
        ("hf_" + "a" * 34, F),
        ("npm_" + "a" * 36, F),
        ("hvs." + "a" * 24, F),
        ("AccountKey=" + "a" * 40 + "==", F),
        ("https://bob:hunter2@host/x", f"https://bob:{F}@host/x"),
        ("postgresql://u:p%40ss@h:5432/d", f"postgresql://u:{F}@h:5432/d"),
    ],
)
def test_tokens_and_keys_show_by_their_form(text: str, expected: str) -> None:
    assert redact_text(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("password=hunter2", f"password={F}"),
        ("PASSWORD = hunter2, next", f"PASSWORD = {F}, next"),
        ("password: hunter2", f"password: {F}"),
        ("password:hunter2;x", f"password:{F};x"),
        ("password => 'a b' , x", f"password => '{F}' , x"),
        ('{"password":"a\\"b","k":1} tail', f'{{"password":"{F}","k":1}} tail'),
        ("{'password': 'it\\'s', 'k': 1} tail", f"{{'password': '{F}', 'k': 1}} tail"),
        ('{\\"password\\":\\"a\\\\\\"b\\",\\"k\\":1}', f'{{\\"password\\":\\"{F}\\",\\"k\\":1}}'),
        ("?token=abc&x=1", f"?token={F}&x=1"),
        ("user[password]=abc&x=1", f"user[password]={F}&x=1"),
        ("token%3Dabc", f"token%3D{F}"),
        ("--password hunter2 --verbose", f"--password {F} --verbose"),
        ("--api-key=hunter2", f"--api-key={F}"),
        ("token=[1, [2, ']'], 3] tail", f"token={F} tail"),
        ("x token={'a': '}'} tail", f"x token={F} tail"),
        ("Settings(password=SecretStr('abc'), x=1)", f"Settings(password={F}, x=1)"),
        ("password=b'abc'", f"password=b'{F}'"),
        ('password="never closed', f'password="{F}'),
        ("password=[never closed", f"password={F}"),
        ("secret:\n  abc", f"secret:\n  {F}"),
        ("a.b.customer_email=x@y.z", f"a.b.customer_email={F}"),
        ("password=`a b`", f"password=`{F}`"),
        ("pass\u200bword=hunter2", f"password={F}"),
    ],
)
def test_assignments_to_names_of_secrets(text: str, expected: str) -> None:
    assert redact_text(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("4111111111111111", F),
        ("card 4111 1111 1111 1111.", f"card {F}."),
        ("card4111-1111-1111-1111", f"card{F}"),
        ("3782 822463 10005", F),
        ("order 12 4111 1111 1111 1111 9", f"order 12 {F} 9"),
        ("4111111111111111, 5555555555554444", f"{F}, {F}"),
        ("4111 1111 1111 1111 5555 5555 5555 4444", f"{F} {F}"),
        ("4\u200b111\u200b111111111111", F),
        ("４１１１１１１１１１１１１１１１", F),
        ("4111\u00a01111\u00a01111\u00a01111", F),
    ],
)
def test_card_numbers(text: str, expected: str) -> None:
    assert redact_text(text) == expected


@pytest.mark.parametrize("number", [
    "4111111111111111", "4222222222222", "5555555555554444", "2223003122003222", "378282246310005", "6011111111111117",
    "30569309025904", "3530111333300000", "6200000000000005", "6759649826438453",
])  # fmt: skip
def test_issuers(number: str) -> None:
    assert is_card_number(number)
    wrong = number[:-1] + str((int(number[-1]) + 1) % 10)
    assert not is_card_number(wrong)
    assert not is_card_number("1" + number)


@pytest.mark.parametrize(
    "text",
    [
        "missing bearer token",
        "missing bearer token.",
        "basic understanding",
        "the password is wrong",
        "KeyError: 'password'",
        "idempotency_key=abc",
        "business_name: Massn",
        "token=None",
        "token=null",
        "550e8400-e29b-41d4-a716-446655440000",
        "41111111-1111-1111-1111-111111111111",
        "trace 4111111111111111411111111111111a",
        "at 1763726400000 and 1763726400123456",
        "4111111111111112",
        "12:30:45,123 INFO tasker: step charge of task x is complete",
        "https://example.com/a?b=c",
        "eyJ.eyJ",
        "http://host:8080/path",
        'version=1.2.3, name="x"',
        "",
        "é😀 ZWJ 👩‍👩‍👧",
    ],
)
def test_what_is_no_secret_stays(text: str) -> None:
    assert redact_text(text) == text


@pytest.mark.parametrize("text", [
    "password=hunter2 Bearer abcdef123 4111 1111 1111 1111",
    '{"password": "x", "a": {"token": [1]}}',
    f"{JWT} {PEM}",
    "--password x token: {'a': 1}",
    "https://a:b@c",
])  # fmt: skip
def test_twice_is_as_once(text: str) -> None:
    once = redact_text(text)
    assert once != text
    assert redact_text(once) == once


# Each of these would take hours with a pattern that is quadratic; pytest's time limit ends such a test.
HOSTILE = [
    "eyJ" * 87_000, "eyJaaaaaaaa." * 20_000, "-----BEGIN " * 23_000, "-----BEGIN A-----" * 15_000, "bearer " * 37_000,
    "4 " * 130_000, "4111" * 65_000, "a=" * 130_000, "password=" * 29_000, "password='" * 26_000,
    "password=[" * 26_000, "://a:" * 52_000, "a." * 130_000, "w" * 262_144, "\\" * 262_144,
    "password=" + "\\" * 250_000, "password='" + "\\'" * 120_000, "password=(" + "('" * 120_000, "sk-" * 87_000,
    "SG." * 87_000, "--a " * 65_000, "-" * 262_144, "password" + " " * 250_000, '{"a":' + "[" * 200_000,
    "\u200b" * 200_000, "a_" * 130_000 + "=1", "'" * 262_144, "github_pat_" * 23_000,
]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("text", HOSTILE, ids=lambda text: repr(text[:16]))
def test_hostile_text_is_read_in_linear_time(text: str) -> None:
    assert redact_text(text)


@pytest.mark.parametrize(
    "text",
    [
        "\x1b[31mpassword\x1b[0m=hunter2",
        "pass\x1b[1;4mword=hunter2",
        "\x9b31mpassword=hunter2",
        "\x1b]8;;http://docs\x07password=hunter2\x1b]8;;\x1b\\",
        "\x1bMpassword=hunter2",
    ],
)
def test_what_only_a_terminal_sees_hides_no_name(text: str) -> None:
    assert redact_text(text) == f"password={F}"


def test_coloured_text_without_secrets_stays_coloured() -> None:
    assert redact_text("\x1b[31mnothing here\x1b[0m") == "\x1b[31mnothing here\x1b[0m"
