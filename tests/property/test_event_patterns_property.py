"""Patterns agree with a matcher so plain that it can be seen to be right, and no name makes them slow."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasker_kafka.schemas.errors import ConfigurationError
from tasker_kafka.schemas.event_patterns import parse_pattern, parse_patterns

WORDS = st.sampled_from(["a", "b", "ab", "payment", "Ä-1"])
NAMES = st.lists(st.one_of(WORDS, st.just("")), min_size=1, max_size=6).map(".".join)
PATTERNS = st.builds(
    lambda head, rest: ".".join([*head, *rest]),
    st.lists(st.one_of(WORDS, st.just("*")), max_size=5),
    st.sampled_from([[], ["**"]]),
).filter(lambda text: text not in ("", "*"))


def naive(pattern: list[str], name: list[str]) -> bool:
    """The grammar, one segment at a time."""
    if pattern == ["**"]:
        return len(name) > 0
    if not pattern or not name:
        return not pattern and not name
    return pattern[0] in ("*", name[0]) and naive(pattern[1:], name[1:])


@given(PATTERNS, NAMES)
def test_agrees_with_the_naive_matcher(pattern: str, name: str) -> None:
    assert parse_pattern(pattern).matches(name) == naive(pattern.split("."), name.split("."))


@given(st.lists(PATTERNS, min_size=1, max_size=4), st.lists(NAMES, max_size=5))
def test_several_fit_where_one_does_whatever_was_asked_before(patterns: list[str], names: list[str]) -> None:
    together = parse_patterns(patterns)
    for name in [*names, *names]:
        assert together.matches(name) == any(parse_pattern(each).matches(name) for each in patterns)


@given(st.lists(WORDS, min_size=1, max_size=6))
def test_a_name_fits_itself_and_every_prefix_with_the_rest(segments: list[str]) -> None:
    name = ".".join(segments)
    assert parse_pattern(name).matches(name)
    assert parse_pattern("**").matches(name)
    for count in range(1, len(segments)):
        assert parse_pattern(".".join([*segments[:count], "**"])).matches(name)
        assert parse_pattern(".".join([*segments[:count], *["*"] * (len(segments) - count)])).matches(name)


@given(st.text(max_size=300))
def test_any_text_is_a_pattern_or_refused_with_a_way_out(text: str) -> None:
    way_out = None
    try:
        pattern = parse_pattern(text)
    except ConfigurationError as error:
        way_out = error.next_step
    else:
        way_out = str(pattern)
        assert way_out == text
        assert pattern.matches("") == (text == "**")
    assert way_out


def test_a_hostile_name_is_read_once() -> None:
    class Counting(str):
        """Counts how often it is cut or compared."""

        __slots__ = ()
        looks = 0

        def __eq__(self, other: object) -> bool:
            Counting.looks += 1
            return str.__eq__(self, str(other))

        __hash__ = str.__hash__

        def split(self, *_: Any, **__: Any) -> list[str]:
            return [Counting(each) for each in str(self).split(".")]

    pattern = parse_pattern(".".join(["*", "a"] * 60 + ["b"]))
    name = Counting(".".join(["a"] * 121))
    assert not pattern.matches(name)
    assert 60 < Counting.looks <= 2 * 121


def test_answers_of_endless_names_are_not_all_kept() -> None:
    patterns = parse_patterns(["a.*"])
    for number in range(10_000):
        assert patterns.matches(f"a.{number}")
    assert len(patterns._answers) <= 4096


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "0 characters"),
        ("a" * 257, "257 characters"),
        ("*", r"write `\*\*` for every event"),
        ("pay*.charged", "not for a part as in `pay"),
        ("a.***", "not for a part"),
        ("**.a", "put it last"),
        ("a.**.b", "put it last"),
        ("a..b", "a segment is empty"),
        (".a", "a segment is empty"),
        ("a.", "a segment is empty"),
        ("a. b", "space or control"),
        ("a.b\n", "space or control"),
    ],
)
def test_what_is_no_pattern_says_why(text: str, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        parse_pattern(text)


@pytest.mark.parametrize(
    ("text", "place", "condition"),
    [
        ("task.completed", "the template's own `publishes_events`", "completed"),
        ("task.failed", "the template's own", "failed"),
        ("task.blocked_by_failures", "the template's own", "blocked"),
        ("task.*", "the template's own", "completed"),
        ("workflow.task_completed", "the template's own", "completed"),
        ("system.**", "the template's own", "completed"),
        ("step.failed", "the step's `publishes_events`", "failure"),
        ("step.completed", "the step's `publishes_events`", "success"),
    ],
)
def test_system_events_are_refused_with_what_to_declare(text: str, place: str, condition: str) -> None:
    with pytest.raises(ConfigurationError, match=rf"telemetry(?s:.*){place}.*`condition: {condition}`"):
        parse_pattern(text)
    assert parse_pattern(text, is_foreign=True).matches(text.replace("*", "x"))


def test_one_segment_is_a_name_for_others_only() -> None:
    assert parse_pattern("*", is_foreign=True).matches("OrderPlaced")
    with pytest.raises(ConfigurationError, match="names no event"):
        parse_patterns([])
