"""Records that are no events become dead letters at once, as the bytes they are, and their partition goes on."""

from __future__ import annotations

import gzip
import random
from collections.abc import Callable

import msgspec
import pytest

from tasker_kafka.handlers.delivery.journey import FailureClass
from tasker_kafka.handlers.testing import EventBus
from tasker_kafka.schemas.codec import codec
from tasker_kafka.schemas.records import Cancellation
from tasker_kafka.topics.log import Write
from tests.fuzz import mutate
from tests.support.events import Buses, committed, envelope, key_orders, noting, publish_numbered

GOOD = codec.encode(envelope({"n": 1}, key="ada"))
AVRO = (("content-type", b"application/avro"),)
CLOUD = (("ce_specversion", b"1.0"), ("ce_id", b"1"), ("ce_type", b"thing.happened"), ("ce_source", b"/x"))
CANCELLATION = Cancellation(life=0, step=None, attempt=1, reason="no event", at=0)

Headers = tuple[tuple[str, bytes], ...]


def with_payload(payload: bytes) -> bytes:
    """An envelope around these bytes."""
    return codec.encode(msgspec.structs.replace(envelope(None, key="ada"), payload=payload))


POISON: dict[str, tuple[bytes | None, Headers]] = {
    "null": (None, AVRO),
    "null without headers": (None, ()),
    "empty": (b"", AVRO),
    "random bytes": (random.Random(1).randbytes(300), AVRO),
    "random bytes without headers": (random.Random(2).randbytes(300), ()),
    "truncated": (GOOD[: len(GOOD) // 2], AVRO),
    "only its frame": (GOOD[:10], AVRO),
    "longer than it should be": (GOOD + b"\0", AVRO),
    "unknown schema": (b"\xc3\x01" + bytes(8) + GOOD[10:], AVRO),
    "unknown registry id": (b"\0\0\0\0\x07" + GOOD[10:], AVRO),
    "wrong type": (codec.encode(CANCELLATION), AVRO),
    "payload is no JSON": (with_payload(b"{not json"), AVRO),
    "payload is no text": (with_payload(b'"\xff\xfe"'), AVRO),
    "payload is empty": (with_payload(b""), AVRO),
    "NaN": (with_payload(b'{"n": NaN}'), AVRO),
    "infinity": (with_payload(b'{"n": 1e999}'), AVRO),
    "deep JSON": (with_payload(b"[" * 50_000 + b"]" * 50_000), AVRO),
    "deep JSON of a stranger": (b'{"a":' * 50_000 + b"1" + b"}" * 50_000, CLOUD),
    "compressed bomb": (gzip.compress(bytes(20 * 1024 * 1024)), AVRO),
    "compressed bomb of a stranger": (gzip.compress(bytes(20 * 1024 * 1024)), CLOUD),
    "CloudEvent of a future version": (b"{}", (("ce_specversion", b"2.0"), *CLOUD[1:])),
    "CloudEvent without an id": (b"{}", CLOUD[:1] + CLOUD[2:]),
    "CloudEvent whose data are no JSON": (b"{", CLOUD),
    "CloudEvent whose type is no text": (b"{}", (*CLOUD[:2], ("ce_type", b"\xff\xff"), CLOUD[3])),
    "structured without a type": (b'{"specversion": "1.0", "id": "1", "source": "/x"}', ()),
    "foreign text": (b"GET / HTTP/1.1\r\n\r\n", ()),
    "pickle": (b"\x80\x04\x95cos\nsystem\n", AVRO),
}


def send(bus: EventBus, value: bytes | None, headers: Headers, key: bytes | None = b"ada") -> None:
    """A record on the topic of events."""
    bus.send(Write(bus.names.domain_events("default"), key, value, headers))


def test_every_kind_of_poison_is_dead_at_once_and_blocks_nothing(buses: Buses) -> None:
    bus = buses(noting())
    publish_numbered(bus, ["ada"])
    for value, headers in POISON.values():
        send(bus, value, headers)
    bus.publish("thing.happened", {"n": 2}, key="ada")
    bus.settle()
    assert key_orders(bus) == {"ada": [1, 2]}
    letters = sorted(bus.dead_letters(), key=lambda letter: letter.original.offset)
    assert len(letters) == len(POISON)
    for name, letter in zip(POISON, letters, strict=True):
        assert letter.failure_class is FailureClass.DECODE, name
        assert (letter.original.value, letter.original.headers) == POISON[name], name
        assert (letter.journey.attempts, letter.journey.subscription) == (0, ""), name
        assert letter.journey.message, name
        assert letter.journey.error_type, name
    assert committed(bus, "audit", bus.names.domain_events("default")) == len(POISON) + 2


@pytest.mark.parametrize("key", [None, b"", b"\xff\xfe", bytes(1000)])
def test_poison_under_any_key(buses: Buses, key: bytes | None) -> None:
    bus = buses(noting())
    send(bus, b"poison", AVRO, key)
    publish_numbered(bus, ["ada"])
    bus.settle()
    (letter,) = bus.dead_letters()
    assert (letter.original.key, letter.original.value) == (key, b"poison")
    assert key_orders(bus) == {"ada": [1]}


def test_the_largest_record_that_a_topic_takes_fits_the_queue(buses: Buses) -> None:
    bus = buses(noting())
    topic = bus.names.domain_events("default")
    limit = 1024 * 1024 - 200
    bus.send(Write(topic, b"ada", random.Random(3).randbytes(limit), AVRO))
    publish_numbered(bus, ["ada"])
    bus.settle()
    (letter,) = bus.dead_letters()
    assert len(letter.original.value or b"") == limit
    assert key_orders(bus) == {"ada": [1]}


def test_poison_is_one_letter_for_each_group(buses: Buses) -> None:
    bus = buses(noting("one"), noting("two"))
    send(bus, b"poison", AVRO)
    bus.settle()
    assert sorted(letter.journey.group for letter in bus.dead_letters()) == ["one", "two"]


def test_redriven_poison_is_dead_again(buses: Buses) -> None:
    bus = buses(noting())
    send(bus, b"poison", AVRO)
    bus.settle()
    bus.redrive()
    bus.settle()
    first, second = bus.dead_letters()
    assert second.original == first.original
    assert second.journey.redrive_count == 1


MUTATIONS: dict[str, Callable[[random.Random, bytes], bytes]] = {
    "flipped bits": mutate.flip_bits,
    "reshaped": mutate.reshape,
    "fields": lambda rng, value: mutate.avro_fields(rng, "DomainEvent", value),
}


@pytest.mark.parametrize("mutation", MUTATIONS)
def test_whatever_comes_is_handled_or_dead(memory_buses: Buses, mutation: str) -> None:
    rng = random.Random(mutation)
    values = [MUTATIONS[mutation](rng, GOOD) for _ in range(300)]
    bus = memory_buses(noting())
    bus.send_all([Write(bus.names.domain_events("default"), b"ada", value, AVRO) for value in values])
    publish_numbered(bus, ["last"])
    bus.settle()
    assert "last" in {event.key for event in bus.handled()}
    handled = {event.offset for event in bus.handled()}
    dead = {letter.original.offset for letter in bus.dead_letters()}
    assert len(handled | dead) + bus.figures("audit").duplicates >= len(values) + 1
    assert {letter.failure_class for letter in bus.dead_letters()} <= {FailureClass.DECODE}
