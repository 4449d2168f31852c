"""Strict JSON: what strangers may not send, each with the path of the offending value."""

import json

import pytest

from tasker_kafka.schemas.errors import DecodeError
from tasker_kafka.schemas.json_strict import InvalidJson, decode_json, decode_json_object

PLENTY = 1_000_000


def refused(text: str | bytes, max_bytes: int = PLENTY) -> InvalidJson:
    with pytest.raises(InvalidJson) as caught:
        decode_json(text, max_bytes=max_bytes, what="context")
    assert isinstance(caught.value, DecodeError)
    return caught.value


@pytest.mark.parametrize(
    "text",
    [
        "null",
        "true",
        "-0",
        "0.1",
        "1e3",
        '"é😀"',
        '"\\ud83d\\ude00"',
        "[]",
        '{"a":[1,{"b":null}]}',
        "18446744073709551615",
        "-9223372036854775808",
        "1.7976931348623157e308",
        '{"":1}',
    ],
)
def test_ordinary_json_means_what_it_always_means(text: str) -> None:
    assert decode_json(text, max_bytes=PLENTY) == json.loads(text)
    assert decode_json(text.encode(), max_bytes=PLENTY) == json.loads(text)


@pytest.mark.parametrize(
    ("text", "code", "path"),
    [
        ('{"a":[1,{"b":1,"b":2}]}', "duplicate_key", "context.a[1].b"),
        ('{"a":NaN}', "not_a_number", "context.a"),
        ('[1,{"x":-Infinity}]', "not_a_number", "context[1].x"),
        ("[1e999]", "number_too_large", "context[0]"),
        ('{"x":[0,18446744073709551616]}', "number_too_large", "context.x[1]"),
        ("-9223372036854775809", "number_too_large", "context"),
        ("9" * 5_000, "number_too_large", "context"),
        ('{"a":{"b":"\\ud800"}}', "lone_surrogate", "context.a.b"),
        ('{"a":{"\\udc00":1}}', "lone_surrogate", "context.a"),
        ('{"odd key":[NaN]}', "not_a_number", "context['odd key'][0]"),
    ],
)
def test_what_is_refused_is_named_with_its_path(text: str, code: str, path: str) -> None:
    error = refused(text)
    assert (error.code, error.path) == (code, path)
    assert str(error).startswith(f"{path}: ")


@pytest.mark.parametrize("text", ["", "{", "{'a':1}", "[1,]", "{} x", "\ufeff{}", "nul", "01"])
def test_what_is_no_json_is_said_with_line_and_column(text: str) -> None:
    error = refused(text)
    assert error.code == "not_json"
    assert "context is not JSON" in str(error)
    assert "line 1 column" in str(error)


def test_bytes_must_be_utf8() -> None:
    assert refused(b'"\xff"').code == "not_utf8"
    assert refused(b"\xed\xa0\x80").code == "not_utf8"
    assert refused("\ud800").code == "not_utf8"


@pytest.mark.parametrize(("depth", "is_accepted"), [(63, True), (64, True), (65, False), (100_000, False)])
@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a":', "}")])
def test_depth_ends_at_64(depth: int, is_accepted: bool, opening: str, closing: str) -> None:
    text = opening * depth + ("" if opening == "[" else "1") + closing * depth
    if is_accepted:
        assert decode_json(text, max_bytes=PLENTY) == json.loads(text)
    else:
        assert refused(text).code == "json_too_deep"


def test_many_shallow_containers_are_not_deep() -> None:
    assert len(decode_json(json.dumps([[]] * 1_000), max_bytes=PLENTY)) == 1_000


@pytest.mark.parametrize(("size", "is_accepted"), [(9, True), (10, True), (11, False)])
def test_size_is_checked_in_bytes_before_decoding(size: int, is_accepted: bool) -> None:
    text = '"' + "x" * (size - 2) + '"'
    if is_accepted:
        assert decode_json(text, max_bytes=10) == "x" * (size - 2)
    else:
        assert refused(text, max_bytes=10).code == "json_too_large"
    broken = b"\xff" * 11
    assert refused(broken, max_bytes=10).code == "json_too_large"


def test_text_is_measured_as_utf8() -> None:
    assert decode_json('"é"', max_bytes=4) == "é"
    assert refused('"éé"', max_bytes=5).code == "json_too_large"


def test_an_object_can_be_demanded() -> None:
    assert decode_json_object('{"a":1}', max_bytes=PLENTY) == {"a": 1}
    with pytest.raises(InvalidJson, match="context must be a JSON object, it is an array") as caught:
        decode_json_object("[]", max_bytes=PLENTY, what="context")
    assert caught.value.code == "not_an_object"


def test_the_first_of_several_faults_is_reported() -> None:
    assert refused('{"a":NaN,"b":Infinity}').path == "context.a"
