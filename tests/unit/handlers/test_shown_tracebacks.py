"""Kept texts of frames are the texts that Python makes, and hide what is to be hidden."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from typing import Any

import pytest

from tasker_kafka.handlers.tracebacks import shown_traceback
from tasker_kafka.schemas.redaction import DEFAULT_FILTERS, Redactor, current_redactor, use_redactor


def fail(error: BaseException) -> None:
    """Raise what is given."""
    raise error


def chained() -> None:
    try:
        fail(KeyError("first"))
    except KeyError as error:
        raise ValueError("second") from error


def suppressed() -> None:
    try:
        fail(KeyError("first"))
    except KeyError:
        raise ValueError("second") from None


def in_context() -> None:
    try:
        fail(KeyError("first"))
    finally:
        fail(ValueError("second"))


def noted() -> None:
    error = ValueError("with a note")
    error.add_note("more\nof it")
    raise error


def deep(left: int = 200) -> None:
    deep(left - 1) if left else fail(RecursionError("deep"))


def misspelt() -> None:
    fail(valeu)  # type: ignore[name-defined] # noqa: F821 # pyright: ignore[reportUndefinedVariable] - the case


def grouped() -> None:
    raise ExceptionGroup("several", [ValueError("one"), TypeError("two")])


CASES: list[Callable[[], Any]] = [
    lambda: fail(ValueError("plain\nin two lines")),
    lambda: fail(SystemExit(3)),
    lambda: [].nothing,  # type: ignore[attr-defined] # pyright: ignore[reportAttributeAccessIssue] - the case
    lambda: compile("a b", "text", "exec"),
    lambda: (1, 2)[len("three")],
    chained,
    suppressed,
    in_context,
    noted,
    deep,
    misspelt,
    grouped,
]


@pytest.mark.parametrize("case", CASES)
def test_it_is_what_python_makes_the_first_time_and_again(case: Callable[[], Any]) -> None:
    for _ in range(3):
        with pytest.raises(BaseException) as raised:
            case()
        error = raised.value
        expected = "".join(traceback.format_exception(error))
        assert shown_traceback(error, error.__traceback__) == expected


def test_secrets_are_hidden_in_the_code_and_in_the_message_by_the_filter_of_now() -> None:
    def leak(number: int) -> None:
        raise ValueError(f"no token=abc{number}abcdefgh was taken")

    former = current_redactor()
    try:
        for filters, is_shown in ((DEFAULT_FILTERS, False), (("nothing_of_it",), True)):
            use_redactor(Redactor(filters))
            for number in (1, 2):
                with pytest.raises(ValueError, match="token") as raised:
                    leak(number)
                text = shown_traceback(raised.value, raised.value.__traceback__)
                assert (f"abc{number}abcdefgh" in text) == is_shown
    finally:
        use_redactor(former)


def test_without_frames_it_is_the_last_line() -> None:
    assert shown_traceback(ValueError("alone"), None) == "ValueError: alone\n"
