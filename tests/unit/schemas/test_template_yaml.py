"""Reading YAML: values as JSON has them, lines for every path, and nothing that multiplies, runs or hides."""

from typing import Any

import pytest

from tasker_kafka.schemas.template_yaml import InvalidYaml, PlainText, read_yaml, resolve_scalar


def refused(text: str) -> InvalidYaml:
    with pytest.raises(InvalidYaml) as caught:
        read_yaml(text)
    return caught.value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("yes", "yes"),
        ("no", "no"),
        ("on", "on"),
        ("1:30", "1:30"),
        ("2020-01-01", "2020-01-01"),
        ("0.1.0", "0.1.0"),
        ("true", True),
        ("FALSE", False),
        ("~", None),
        ("null", None),
        ("12", 12),
        ("-7", -7),
        ("+7", 7),
        ("017", 17),
        ("0o17", 15),
        ("0x1F", 31),
        ("1e3", 1000.0),
        (".5", 0.5),
        ("1_000", "1_000"),
        ("'12'", "12"),
        ('"true"', "true"),
        ("!!str 12", "12"),
        ("18446744073709551615", 2**64 - 1),
        ("|\n  a\n  b\n", "a\nb\n"),
    ],
)
def test_scalars_are_those_of_json(text: str, value: Any) -> None:
    (document,) = read_yaml(f"x: {text}")
    assert document.value == {"x": value}
    assert type(document.value["x"]) is type(value)


def test_an_empty_value_is_null() -> None:
    assert read_yaml("a:\nb: ''\n")[0].value == {"a": None, "b": ""}
    assert resolve_scalar("") is None


@pytest.mark.parametrize(
    ("text", "code", "path", "line"),
    [
        ("a: &x [1]\nb: *x", "alias", ("b",), 2),
        ("a: 1\nb:\n  - c: 1\n    c: 2", "duplicate_key", ("b", 0, "c"), 4),
        ("a:\n  <<: {b: 1}", "merge_key", ("a",), 2),
        ("a:\n  ? [b]\n  : 1", "bad_key", ("a",), 2),
        ("1: a", "bad_key", (), 1),
        ("true: a", "bad_key", (), 1),
        ("a: !!python/object/apply:os.system [x]", "tag", ("a",), 1),
        ("a: !!binary aGk=", "tag", ("a",), 1),
        ("a: !!set {b}", "tag", ("a",), 1),
        ("a: !thing 1", "tag", ("a",), 1),
        ("a: .nan", "bad_number", ("a",), 1),
        ("a: [-.inf]", "bad_number", ("a", 0), 1),
        ("a: 1e999", "bad_number", ("a",), 1),
        ("a: 18446744073709551616", "bad_number", ("a",), 1),
        ("a: " + "9" * 10_000, "bad_number", ("a",), 1),
        ("a: [1\nb: 2", "not_yaml", (), 2),
        ("a: \x00", "not_yaml", (), None),
        ("a: '\ud800'", "not_utf8", (), None),
        ('a: "\\U00110000"', "not_yaml", (), 1),
        ("%YAML 9.9\n---\na: 1", "not_yaml", (), 1),
    ],
)
def test_what_is_refused_is_named_with_path_and_line(
    text: str, code: str, path: tuple[Any, ...], line: int | None
) -> None:
    error = refused(text)
    assert (error.fault.code, error.fault.path, error.line) == (code, path, line)


def test_a_quoted_merge_key_is_a_key_like_any_other() -> None:
    assert read_yaml('"<<": 1')[0].value == {"<<": 1}


def test_an_anchor_alone_does_no_harm() -> None:
    assert read_yaml("a: &x 1")[0].value == {"a": 1}


@pytest.mark.parametrize(
    "text", ["[" * 500_000, "{" * 500_000, "- " * 500_000, "? " * 500_000, "a: " * 300_000]
)
def test_deep_text_is_refused_at_once(text: str) -> None:
    assert refused(text).fault.code in {"template_too_deep", "bad_key", "not_yaml"}


def test_every_path_has_its_line() -> None:
    (document,) = read_yaml("a: 1\nb:\n  - x\n  - c: 1\n    d: {e: 2,\n      f: 3}\n")
    lines = {(): 1, ("a",): 1, ("b",): 2, ("b", 0): 3, ("b", 1): 4, ("b", 1, "c"): 4, ("b", 1, "d", "f"): 6}
    assert {path: document.line_of(path) for path in lines} == lines
    assert document.line_of(("b", 1, "nothing", "below")) == 4


def test_documents_are_read_one_by_one() -> None:
    found = read_yaml("a: 1\n---\nb: 2\n---\n")
    assert [each.value for each in found] == [{"a": 1}, {"b": 2}, None]
    assert found[1].line_of(("b",)) == 3
    assert read_yaml("") == []


def test_plain_text_with_a_variable_is_marked() -> None:
    value = read_yaml("a: ${X}\nb: '${X}'\nc: plain\n")[0].value
    assert isinstance(value["a"], PlainText)
    assert not isinstance(value["b"], PlainText)
    assert not isinstance(value["c"], PlainText)
