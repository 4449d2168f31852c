"""Edits of a payload that is shown without its secrets: only what was changed is sent, and no mask ever is."""

from __future__ import annotations

import copy
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasker_kafka.deploy.console.pages.letters_edit import (
    MISSING,
    Change,
    UnclearEdit,
    changes_between,
    edit_of,
    path_text,
)
from tasker_kafka.handlers.delivery.edits import assign, parse_assignment
from tasker_kafka.schemas.redaction import DEFAULT_MASK, redact

PAYLOAD = {
    "number": 7,
    "customer": {"name": "Ann", "api_key": "sk_live_1", "odd name": 1},
    "lines": [{"sku": "mug", "token": "t1"}, {"sku": "tea", "token": "t2"}],
    "tags": ["a", "b"],
}


def edited(**changes: Any) -> Any:
    """The payload as a page shows it, with these top-level changes."""
    return {**redact(copy.deepcopy(PAYLOAD)), **changes}


def applied(original: Any, wanted: Any) -> Any:
    """What is sent, done to the original with its secrets."""
    edit = edit_of(changes_between(redact(original), wanted))
    if edit is None:
        return original
    return assign(original, edit.assignments) if edit.assignments else edit.payload


def test_hidden_values_stay_as_they_are() -> None:
    wanted = edited(number=8)
    wanted["lines"][1]["sku"] = "coffee"
    assert applied(PAYLOAD, wanted) == {
        **PAYLOAD,
        "number": 8,
        "lines": [cast("list[Any]", PAYLOAD["lines"])[0], {"sku": "coffee", "token": "t2"}],
    }


def test_a_hidden_value_can_be_replaced() -> None:
    wanted = edited()
    wanted["customer"]["api_key"] = "sk_live_2"
    assert applied(PAYLOAD, wanted)["customer"]["api_key"] == "sk_live_2"


def test_nothing_changed_is_no_edit() -> None:
    assert changes_between(redact(PAYLOAD), edited()) == ()
    assert edit_of(()) is None


def test_names_are_added_and_lists_grow_where_nothing_is_hidden() -> None:
    assert changes_between(redact(PAYLOAD), edited(tags=["a"], note=None)) == (
        Change(("tags",), ["a", "b"], ["a"]),
        Change(("note",), MISSING, None),
    )


@pytest.mark.parametrize(
    ("wanted", "where"),
    [
        (edited(customer={"name": "Ann", "api_key": DEFAULT_MASK}), r"\$\.customer "),
        (edited(lines=edited()["lines"][:1]), r"\$\.lines "),
        (edited(note=f"copied {DEFAULT_MASK}"), r"\$\.note "),
        ({"customer": redact(PAYLOAD)["customer"]}, r"\$ "),
    ],
)
def test_a_mask_is_never_sent(wanted: Any, where: str) -> None:
    with pytest.raises(UnclearEdit, match=where):
        changes_between(redact(PAYLOAD), wanted)


def test_a_whole_payload_is_replaced_where_nothing_is_hidden() -> None:
    edit = edit_of(changes_between({"a": 1, "b": 2}, {"b": 3}))
    assert edit is not None
    assert (edit.payload, edit.assignments) == ({"b": 3}, ())


def test_kinds_of_numbers_differ() -> None:
    assert [each.after for each in changes_between([1, True, 1.0], [True, 1, 1])] == [True, 1, 1]


@pytest.mark.parametrize("path", [("a", 0, "b-c"), ("odd name", 2), ("0",), ("ä",)])
def test_paths_are_written_as_commands_take_them(path: tuple[str | int, ...]) -> None:
    assert parse_assignment(f"{path_text(path)}=1").path == path


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text("ab", max_size=2),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "b", "c"]), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(json_values, json_values)
def test_any_value_becomes_any_other(before: Any, after: Any) -> None:
    made = applied(before, after)
    assert repr(made) == repr(after) or made == after
    assert changes_between(made, after) == ()
