"""Names are put together in one place and cannot be broken out of."""

from __future__ import annotations

import re

import pytest

from tasker_kafka.schemas.errors import ConfigurationError
from tasker_kafka.schemas.records import DomainEvent
from tasker_kafka.schemas.words import Delivery
from tasker_kafka.topics import headers
from tasker_kafka.topics.names import TopicNames
from tests.support.source_tree import package_modules

NAMES = TopicNames("shop")


def test_every_name_is_under_the_prefix_and_there_are_no_two_alike() -> None:
    found = [
        *(
            getattr(NAMES, each)
            for each in vars(TopicNames)
            if type(vars(TopicNames)[each]).__name__ == "cached_property"
        ),
        NAMES.steps("payments"),
        NAMES.domain_events("payments"),
        NAMES.domain_events_dlq("payments"),
        NAMES.retry("mail", "30s"),
    ]
    assert len(set(found)) == len(found) == 17
    assert all(each.startswith("shop.") and each.endswith(".v1") for each in found)
    assert NAMES.task_requests == "shop.task-requests.v1"


@pytest.mark.parametrize("name", ["", "a.b", "../x", "A", "ä", "a" * 65, "a\n", "a b"])
def test_odd_names_are_refused_before_they_are_topics(name: str) -> None:
    for make in (
        NAMES.steps,
        NAMES.domain_events,
        NAMES.domain_events_dlq,
        lambda each: NAMES.retry(each, "1s"),
        TopicNames,
    ):
        with pytest.raises(ConfigurationError, match="a-z"):
            make(name)


def test_queue_and_namespace_are_found_back() -> None:
    assert NAMES.queue_of(NAMES.steps("pay_ments-2")) == "pay_ments-2"
    assert NAMES.namespace_of(NAMES.domain_events("payments")) == "payments"
    assert NAMES.namespace_of(NAMES.domain_events_dlq("payments")) is None
    assert NAMES.queue_of(TopicNames("other").steps("payments")) is None
    assert NAMES.queue_of(NAMES.commands) is None


def test_the_owner_is_a_plain_number_or_nobody() -> None:
    assert headers.owner_of(headers.for_owner(120)) == 120
    for raw in (b"", b"-1", b"+1", b"1.0", b" 1", b"x", b"9" * 20, "٣".encode()):
        assert headers.owner_of(((headers.OWNER, raw),)) is None
    assert headers.owner_of((("other", b"1"),)) is None


def test_a_trace_is_handed_on() -> None:
    text = "00-000102030405060708090a0b0c0d0e0f-0102030405060708-01"
    assert headers.traceparent_of(headers.for_trace(text)) == text
    assert headers.for_trace(None) == ()
    assert headers.traceparent_of(()) is None
    assert headers.traceparent_of(((headers.TRACEPARENT, b"\xff"),)) is None


def test_events_carry_cloud_event_headers() -> None:
    event = DomainEvent(
        event_id=bytes(16),
        name="payment.charged",
        version="1.0",
        namespace="payments",
        delivery=Delivery.DURABLE,
        key="k",
        payload=b"{}",
        fired_at=1_790_000_000_123,
        fired_by="charge",
        environment="test",
        task_id=bytes(16),
    )
    found = dict(headers.for_event(event))
    assert found["ce_type"] == b"payment.charged"
    assert found["ce_time"] == b"2026-09-21T14:13:20.123Z"
    assert found["ce_subject"] == found["ce_id"] == b"00000000-0000-0000-0000-000000000000"


def test_no_name_is_put_together_elsewhere() -> None:
    joined = re.compile(r"prefix\}(\.|-(engine|subscriber|dead|worker|receipt|templates))")
    # The scaffold's prefixes are those of events and metrics.
    found = {each.path for each in package_modules() if joined.search(each.text)}
    assert {path for path in found if not path.startswith("handlers/scaffold/")} == {"topics/names.py"}


def test_what_names_begin_with_is_what_they_begin_with() -> None:
    """Rights are given by these: a name outside of its own could not be used."""
    for begin, name in [
        (NAMES.every_topic, NAMES.task_requests),
        (NAMES.every_group, NAMES.engine_group),
        (NAMES.every_group, NAMES.watcher_group),
        (NAMES.every_steps, NAMES.steps("mail")),
        (NAMES.every_domain_events, NAMES.domain_events("mail")),
        (NAMES.every_domain_events, NAMES.domain_events_dlq("mail")),
        (NAMES.every_retry, NAMES.retry("mail", "30s")),
        (NAMES.every_group_dlq, NAMES.group_dlq("mail")),
        (NAMES.every_subscriber_group, NAMES.subscriber_group("mail")),
        (NAMES.every_dead_letter_writer, NAMES.dead_letter_writer("x")),
        (NAMES.every_engine_writer, NAMES.engine_writer(3)),
        (NAMES.every_watcher_writer, NAMES.watcher_writer("x", 3)),
    ]:
        assert name.startswith(begin)
