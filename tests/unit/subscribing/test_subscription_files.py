"""Subscriptions files: what they may say, and how each fault is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from tasker_kafka.handlers.delivery.policy import DeliveryPolicy
from tasker_kafka.handlers.subscribing.files import (
    InvalidSubscriptions,
    load_subscription_files,
    read_subscriptions,
)
from tasker_kafka.schemas.errors import ConfigurationError
from tasker_kafka.schemas.template import InvalidTemplate, load_templates

WHOLE = """
event_subscriptions:
  - handler: PaymentAlerts
    events: [payment.failed, "refund.*"]
    config:
      channel: "#payments"
      threshold: {count: 3, per_seconds: 60}
    enabled: true
    group: alerts
    name: eu
    delivery: acknowledged
    retry: {max_attempts: 5, delays: [1, 60], timeout_seconds: 5}
  - handler: tea_shop.audit:Audit
    enabled: false
"""


def test_every_key() -> None:
    first, second = read_subscriptions(WHOLE, source="s.yaml")
    assert (first.handler, first.events, first.place) == (
        "PaymentAlerts",
        ("payment.failed", "refund.*"),
        "s.yaml:3",
    )
    assert first.config == {"channel": "#payments", "threshold": {"count": 3, "per_seconds": 60}}
    assert (first.enabled, first.group, first.name, first.delivery) == (True, "alerts", "eu", "acknowledged")
    assert first.retry == DeliveryPolicy(max_attempts=5, delays=(1.0, 60.0), timeout_seconds=5.0)
    assert (second.handler, second.enabled, second.events, second.retry) == (
        "tea_shop.audit:Audit",
        False,
        None,
        None,
    )


def test_files_are_read_in_order(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).write_text(f"event_subscriptions: [{{handler: {name}}}]")
    assert [each.handler for each in load_subscription_files([tmp_path / "two", tmp_path / "one"])] == [
        "two",
        "one",
    ]


def entry(line: str) -> str:
    """A file with one entry that has this line, too."""
    return f"event_subscriptions:\n  - handler: A\n    {line}\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            entry("evnts: [a.b]"),
            "s.yaml:3: event_subscriptions[0].evnts: unknown key; did you mean `events`?",
        ),
        (
            entry("retry: {max_attemps: 3}"),
            "s.yaml:3: event_subscriptions[0].retry.max_attemps: unknown key; did you mean `max_attempts`?",
        ),
        (entry("retry: {max_attempts: 0}"), "s.yaml:3: event_subscriptions[0].retry: "),
        (entry("delivery: durabel"), "s.yaml:3: event_subscriptions[0].delivery: "),
        (
            entry("enabled: 'yes'"),
            "s.yaml:3: event_subscriptions[0].enabled: Input should be a valid boolean",
        ),
        (
            "event_subscriptions:\n  - events: [a.b]\n",
            "s.yaml:2: event_subscriptions[0].handler: the key is required",
        ),
        ("event_subscriptions:\n  - A\n", "s.yaml:2: event_subscriptions[0]: must be a mapping"),
        ("event_subscriptions: {}\n", "s.yaml:1: event_subscriptions: must be a list of entries"),
        ("event_subscriptions: []\nenabled: true\n", "s.yaml:2: enabled: unknown key"),
        ("subscriptions: []\n", "a mapping with the key `event_subscriptions`; found: subscriptions"),
        ("[]", "a mapping with the key `event_subscriptions`"),
        ("", "one YAML document, as `event_subscriptions: []`; it has 0"),
        ("event_subscriptions: []\n---\nevent_subscriptions: []\n", "it has 2"),
        ("event_subscriptions: &a []\nother: *a\n", "aliases"),
        ("event_subscriptions: []\nevent_subscriptions: []\n", "twice"),
        ("event_subscriptions: [", "not YAML"),
    ],
)
def test_each_fault_has_its_place(text: str, message: str) -> None:
    with pytest.raises(InvalidSubscriptions) as caught:
        read_subscriptions(text, source="s.yaml")
    assert message in str(caught.value)


def test_every_fault_is_told_at_once() -> None:
    text = "event_subscriptions:\n  - {handler: A, evnts: []}\n  - {enabled: 3}\n"
    with pytest.raises(InvalidSubscriptions) as caught:
        read_subscriptions(text, source="s.yaml")
    assert [(each.line, each.path) for each in caught.value.findings] == [
        (2, "event_subscriptions[0].evnts"),
        (3, "event_subscriptions[1].handler"),
        (3, "event_subscriptions[1].enabled"),
    ]


def test_a_file_that_cannot_be_read_says_why(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="No such file"):
        load_subscription_files([tmp_path / "none.yaml"])
    (tmp_path / "latin").write_bytes(b"\xff")
    with pytest.raises(ConfigurationError, match="not UTF-8"):
        load_subscription_files([tmp_path / "latin"])


@pytest.mark.parametrize("indent", ["", "    "])
def test_in_a_template_the_key_is_refused_with_the_way_here(indent: str) -> None:
    place = "steps[0].event_subscriptions" if indent else "event_subscriptions"
    text = "name: checkout\nnamespace: shop\nversion: 1.0.0\nsteps:\n  - name: pay\n    handler: {callable: shop.pay}\n"
    with pytest.raises(InvalidTemplate) as caught:
        load_templates(f"{text}{indent}event_subscriptions: []\n", source="t.yaml")
    assert f"t.yaml:7: {place}: `event_subscriptions` has no effect here" in str(caught.value)
    assert "subscriptions file" in str(caught.value)
    assert "tasker subscriber --config" in str(caught.value)
