"""A subscription's filters ask for values that are there."""

from __future__ import annotations

import pytest

from tasker_kafka.handlers.delivery.filters import EventFilter


@pytest.mark.parametrize(
    ("path", "value", "payload", "is_taken"),
    [
        ("a", None, {"a": None}, True),
        ("a", None, {}, False),
        ("a.b", None, {"a": {}}, False),
        ("a.b", 1, {"a": {"b": 1}}, True),
        ("a.b", 1, {"a": None}, False),
        ("items.1.sku", "x", {"items": [{"sku": "y"}, {"sku": "x"}]}, True),
        ("items.2.sku", "x", {"items": [{"sku": "y"}, {"sku": "x"}]}, False),
        ("items", [1, 2], {"items": [1, 2]}, True),
        ("0", 1, [1], True),
        ("a", 1, "text", False),
        ("a", 1, None, False),
    ],
)
def test_fields(path: str, value: object, payload: object, is_taken: bool) -> None:
    assert EventFilter({}, {path: value}).takes_fields(payload) is is_taken
