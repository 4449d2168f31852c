"""Changing what a dead letter carries: the payload alone, wherever it lies, or the whole value."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasker_kafka.handlers.delivery.edits import EditFault, assign, parse_assignment, payload_of
from tasker_kafka.handlers.delivery.letters import LetterPlace, parse_place
from tasker_kafka.schemas.codec import codec
from tasker_kafka.schemas.errors import DecodeError, NotFoundError
from tasker_kafka.schemas.limits import RECORD_BYTES, LimitExceeded
from tasker_kafka.schemas.records import DomainEvent
from tasker_kafka.topics.log import Headers, Record
from tasker_kafka.topics.names import TopicNames
from tests.support.dead_letter_world import event

NAMES = TopicNames("t")
STRUCTURED = (("content-type", b"application/cloudevents+json; charset=utf-8"),)
BINARY = (("ce_type", b"card.charged"), ("content-type", b"application/json"))


def record(value: bytes | None, headers: Headers = ()) -> Record:
    """An original."""
    return Record("source", 0, 1, 2, b"k", value, headers)


class TestPayload:
    def test_of_an_envelope(self) -> None:
        payload = payload_of(record(codec.encode(event(1))))
        assert (payload.value, payload.name) == ({"amount": 7}, "payment.charged")
        changed = codec.decode(payload.encoded({"amount": 8}), DomainEvent)
        assert changed == msgspec.structs.replace(event(1), payload=b'{"amount":8}')

    def test_of_a_structured_cloud_event(self) -> None:
        document = {"specversion": "1.0", "type": "card.charged", "id": "7", "data": {"a": 1}, "ext": "é"}
        payload = payload_of(record(json.dumps(document).encode(), STRUCTURED))
        assert (payload.value, payload.name) == ({"a": 1}, "card.charged")
        assert json.loads(payload.encoded([2])) == {**document, "data": [2]}

    def test_of_a_binary_cloud_event(self) -> None:
        payload = payload_of(record(b'{"a": 1}', BINARY))
        assert (payload.value, payload.name) == ({"a": 1}, "card.charged")
        assert payload.encoded({"a": "é"}) == '{"a":"é"}'.encode()

    @pytest.mark.parametrize(
        ("value", "headers"),
        [
            (None, ()),
            (b"", ()),
            (b"\xff", BINARY),
            (b"[1, NaN]", BINARY),
            (b'{"a": 1}', ()),
            (b'{"type": "a.b"}', STRUCTURED),
            (b"7", STRUCTURED),
            (b"[" * 100_000, BINARY),
        ],
    )
    def test_what_has_none_is_refused(self, value: bytes | None, headers: Headers) -> None:
        with pytest.raises(DecodeError):
            payload_of(record(value, headers))

    @pytest.mark.parametrize("value", [float("nan"), {"a": float("inf")}, {1, 2}, "\ud800"])
    def test_what_json_cannot_carry_is_refused(self, value: Any) -> None:
        payload = payload_of(record(b"{}", BINARY))
        with pytest.raises(EditFault):
            payload.encoded(value)

    def test_the_largest_record_is_taken_and_one_byte_more_is_not(self) -> None:
        payload = payload_of(record(b"{}", BINARY))
        text = "x" * (RECORD_BYTES.maximum - 2)
        assert len(payload.encoded(text)) == RECORD_BYTES.maximum
        with pytest.raises(LimitExceeded):
            payload.encoded(text + "x")

    @given(
        st.recursive(
            st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.text(max_size=9), st.lists
        )
    )
    def test_what_is_put_in_comes_out(self, value: Any) -> None:
        for original in (record(codec.encode(event(1))), record(b"{}", BINARY)):
            try:
                data = payload_of(original).encoded(value)
            except EditFault:
                assert "\\ud" in json.dumps(value), "only broken characters are refused"
                continue
            assert payload_of(msgspec.structs.replace(original, value=data)).value == value


class TestAssignments:
    @pytest.mark.parametrize(
        ("text", "changed"),
        [
            ("a=1", {"a": 1, "b": {"c": [1, {"d": 2}]}}),
            ("new=true", {"a": 0, "b": {"c": [1, {"d": 2}]}, "new": True}),
            ("b.c[1].d=null", {"a": 0, "b": {"c": [1, {"d": None}]}}),
            ("$.b.c[0]=text with = in it", {"a": 0, "b": {"c": ["text with = in it", {"d": 2}]}}),
            ('$["a"]="1"', {"a": "1", "b": {"c": [1, {"d": 2}]}}),
            ("b={}", {"a": 0, "b": {}}),
            (" a = 1", {"a": 1, "b": {"c": [1, {"d": 2}]}}),
        ],
    )
    def test_one(self, text: str, changed: Any) -> None:
        payload = {"a": 0, "b": {"c": [1, {"d": 2}]}}
        assert assign(payload, [parse_assignment(text)]) == changed
        assert payload == {"a": 0, "b": {"c": [1, {"d": 2}]}}, "the original stays as it was"

    def test_several_in_order(self) -> None:
        made = assign({}, [parse_assignment(each) for each in ("a={}", "a.b=1", "a.b=2")])
        assert made == {"a": {"b": 2}}

    @pytest.mark.parametrize("text", ["", "a", "=1", "$=1", "a..b=1", "a[x]=1", "a[-1]=1", "*=1"])
    def test_what_sets_nothing_is_refused(self, text: str) -> None:
        with pytest.raises(EditFault):
            parse_assignment(text)

    @pytest.mark.parametrize("text", ["x.y=1", "a.b=1", "l[2]=1", "l.x=1", "a[0]=1", "l[0].x=1"])
    def test_a_way_that_is_not_there_is_refused(self, text: str) -> None:
        with pytest.raises(EditFault, match="there is no"):
            assign({"a": 0, "l": [1, 2]}, [parse_assignment(text)])

    def test_a_payload_that_is_no_object(self) -> None:
        assert assign([1, 2], [parse_assignment("$[0]=9")]) == [9, 2]
        with pytest.raises(EditFault):
            assign(7, [parse_assignment("a=1")])


class TestPlaces:
    @pytest.mark.parametrize(
        ("text", "place"),
        [
            ("shop/3:17", LetterPlace("shop", 3, 17)),
            ("group:audit/0:0", LetterPlace("group:audit", 0, 0)),
        ],
    )
    def test_the_text_is_the_name(self, text: str, place: LetterPlace) -> None:
        assert parse_place(text) == place
        assert str(place) == text

    @pytest.mark.parametrize(
        "text",
        ["", "shop", "3:17", "shop/3", "shop/-1:2", "shop/1:2 ", "Shop/1:2", "a/b/1:2", "shop/1:" + "9" * 30],
    )
    def test_anything_else_is_no_place(self, text: str) -> None:
        with pytest.raises(NotFoundError, match="QUEUE/PARTITION:OFFSET"):
            parse_place(text)


class TestNames:
    def test_queues_are_known_by_their_topics(self) -> None:
        assert NAMES.dead_letter_namespace_of(NAMES.domain_events_dlq("shop")) == "shop"
        assert NAMES.dead_letter_group_of(NAMES.group_dlq("audit")) == "audit"
        assert NAMES.retry_group_of(NAMES.retry("audit", "redrive")) == "audit"

    @pytest.mark.parametrize(
        "topic",
        [
            NAMES.domain_events("dlq"),
            NAMES.domain_events("shop"),
            NAMES.task_dlq,
            TopicNames("other").domain_events_dlq("shop"),
            TopicNames("other").group_dlq("shop"),
            "t.domain-events.a.b.dlq.v1",
            "t.dlq.v1",
            "t.retry.v1",
            "t.retry.audit.v1",
            "dlq",
            "",
        ],
    )
    def test_other_topics_are_none(self, topic: str) -> None:
        assert NAMES.dead_letter_namespace_of(topic) is None
        assert NAMES.dead_letter_group_of(topic) is None
        assert NAMES.retry_group_of(topic) is None

    def test_a_namespace_called_dlq_has_a_queue(self) -> None:
        assert NAMES.dead_letter_namespace_of(NAMES.domain_events_dlq("dlq")) == "dlq"
