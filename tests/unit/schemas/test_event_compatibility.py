"""Versions of events: their order, every pair of them, and the words in which a clash is told."""

from __future__ import annotations

from typing import Any

import pytest

from tasker_kafka.schemas.event_compatibility import find_clashes, is_same_contract, version_key


def thing(required: list[str] | None = None, **properties: Any) -> dict[str, Any]:
    """An object's schema."""
    return {"type": "object", "properties": properties, "required": required or []}


TEXT = {"type": "string"}
V1 = thing(a=TEXT)
V2 = thing(["a"], a=TEXT, b=TEXT)
V3 = thing(["b"], a=TEXT, b=TEXT)


def test_versions_are_ordered_by_their_numbers() -> None:
    versions = ["1.10", "1.9", "2", "1", "1.9.1"]
    assert sorted(versions, key=version_key) == ["1", "1.9", "1.9.1", "1.10", "2"]
    assert version_key("1") == version_key("1.0") == version_key("1.0.0") != version_key("1.0.1")
    assert version_key("0.0") == version_key("0")


def test_every_newer_version_is_held_to_every_older_one() -> None:
    found = list(find_clashes({"2.0": V3, "1.10": V1, "1.9": V1}))
    assert [(each.older, each.newer) for each in found] == [("1.9", "2.0"), ("1.10", "2.0")]
    assert [*find_clashes({"1.0": V1, "1.1": thing(a=TEXT, c=TEXT), "1.2": V1})] == []


def test_a_clash_names_place_reason_and_example() -> None:
    (clash,) = find_clashes({"1.0": V1, "1.1": V2})
    assert clash.is_certain
    assert str(clash) == "1.1 cannot read what 1.0 allowed: $.a: is required now; for example {}"


def test_what_cannot_be_decided_is_not_called_a_break() -> None:
    versions = {
        "1": {"type": "string", "pattern": "^[a-c]{9}$"},
        "2": {"type": "string", "pattern": "^[a-d]{9}$"},
    }
    (clash,) = find_clashes(versions)
    assert not clash.is_certain
    assert str(clash).startswith("whether 2 reads what 1 allowed cannot be decided: $: `pattern`")


def test_many_reasons_are_counted() -> None:
    names = [f"p{at}" for at in range(9)]
    older = {"type": "object", "properties": dict.fromkeys(names, TEXT)}
    (clash,) = find_clashes({"1": older, "2": {**older, "required": names}})
    assert "(and 4 more)" in str(clash)


def test_a_large_example_is_cut() -> None:
    (clash,) = find_clashes(
        {"1": {"type": "string", "minLength": 500}, "2": {"type": "string", "maxLength": 499}}
    )
    assert str(clash).endswith("x…")
    assert len(str(clash)) < 400


def test_a_version_without_a_schema_allowed_everything() -> None:
    assert [each.newer for each in find_clashes({"1": None, "2": V1})] == ["2"]
    assert [*find_clashes({"1": V1, "2": None, "3": {}})] == []


def test_the_strict_reading_asks_for_properties_that_nobody_named() -> None:
    versions = {"1": V1, "2": thing(a=TEXT, b=TEXT)}
    assert [*find_clashes(versions)] == []
    assert [each.newer for each in find_clashes(versions, is_open=True)] == ["2"]


@pytest.mark.parametrize(
    ("other", "is_same"),
    [
        (
            {**V1, "title": "Words", "properties": {"a": {**TEXT, "description": "More", "default": "x"}}},
            True,
        ),
        ({**V1, "properties": {"a": {**TEXT, "x-redact": True}}}, False),
        ({**V1, "properties": {"a": TEXT, "title": TEXT}}, False),
        (V2, False),
        (None, False),
    ],
)
def test_words_for_people_are_no_contract(other: Any, is_same: bool) -> None:
    assert is_same_contract(V1, other) is is_same
    assert is_same_contract(None, {"title": "Anything"})
