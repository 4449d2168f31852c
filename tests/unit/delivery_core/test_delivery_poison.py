"""Records that are no event: each kind ends in the dead letters with its class, and the partition goes on."""

from __future__ import annotations

import asyncio
import random

import msgspec
import pytest

from tasker_kafka.handlers.delivery.decoding import decode_event
from tasker_kafka.handlers.delivery.journey import FailureClass
from tasker_kafka.schemas.avro_files import fingerprint
from tasker_kafka.schemas.codec import codec
from tasker_kafka.schemas.errors import DecodeError, SchemaUnknown
from tasker_kafka.schemas.records import WorkerAnnouncement
from tasker_kafka.topics.log import Headers, Record, Write
from tasker_kafka.topics.memory import run_virtual
from tests.support.delivery_world import NAMESPACE, Seen, World, envelope, on, spec_of

GOOD = codec.encode(envelope(0))
ANNOUNCED = WorkerAnnouncement(
    worker_id="w", queues=(), handlers=(), version="1", host="h", pid=1, started_at=0, seen_at=0
)
CE: Headers = (
    ("ce_specversion", b"1.0"),
    ("ce_id", b"1"),
    ("ce_source", b"/elsewhere"),
    ("ce_type", b"payment.charged"),
)


def with_payload(payload: bytes) -> bytes:
    """A good envelope around this payload."""
    return codec.encode(envelope(0, payload=payload))


def changed(headers: Headers, name: str, value: bytes) -> Headers:
    """Headers with one changed."""
    return tuple((key, value if key == name else old) for key, old in headers)


POISON: dict[str, tuple[bytes | None, Headers]] = {
    "random bytes": (random.Random(1).randbytes(200), ()),
    "null": (None, ()),
    "empty": (b"", ()),
    "truncated": (GOOD[: len(GOOD) // 2], ()),
    "frame only": (GOOD[:10], ()),
    "unknown schema": (b"\xc3\x01" + fingerprint({"type": "string"}) + b"\x02a", ()),
    "endless name": (codec.encode(envelope(0, name="a." + "b" * 1_100)), ()),
    "endless namespace": (codec.encode(envelope(0, namespace="b" * 1_100)), ()),
    "wrong type": (codec.encode(ANNOUNCED), ()),
    "oversize": (GOOD + bytes(900_000), ()),
    "payload is no JSON": (with_payload(b"{"), ()),
    "NaN": (with_payload(b'{"a": NaN}'), ()),
    "Infinity": (with_payload(b"-Infinity"), ()),
    "deep JSON": (with_payload(b"[" * 100_000 + b"]" * 100_000), ()),
    "deep JSON beyond the limit": (with_payload(b"[" * 70 + b"]" * 70), ()),
    "payload of another encoding": (with_payload('{"a": "ä"}'.encode("latin-1")), ()),
    "cloud event without data type": (b"\x00\x01", (*CE, ("content-type", b"application/octet-stream"))),
    "cloud event with NaN": (b'{"a": NaN}', CE),
    "cloud event, deep": (b'{"a":' * 5_000 + b"1" + b"}" * 5_000, CE),
    "cloud event of a future version": (b"{}", changed(CE, "ce_specversion", b"2.0")),
    "cloud event without id": (b"{}", changed(CE, "ce_id", b"")),
    "cloud event with broken text": (b"{}", changed(CE, "ce_id", b"\xff\xfe")),
    "cloud event with a broken time": (b"{}", (*CE, ("ce_time", b"yesterday"))),
    "structured without type": (b'{"specversion": "1.0", "id": "1", "source": "/x"}', ()),
    "structured, attributes of other types": (
        b'{"specversion": 1, "id": [], "source": {}, "type": null}',
        (),
    ),
    "structured, broken base64": (
        b'{"specversion": "1.0", "id": "1", "source": "/x", "type": "payment.charged", "data_base64": 7}',
        (),
    ),
}


@pytest.mark.parametrize("name", POISON)
def test_poison_is_a_dead_letter_at_once_and_blocks_nothing(name: str) -> None:
    value, headers = POISON[name]

    async def scene() -> None:
        async with World.in_memory(partitions=1) as world:
            seen = Seen()
            async with world.member(spec_of(on(seen))) as member:
                await world.publish(envelope(1))
                await world.write(value, headers=headers)
                await world.publish(envelope(2))
                await world.settled()
                assert member.figures.undecodable == 1
            assert seen.numbers == [1, 2]
            [(original, journey)] = await world.dead()
            assert journey.failure_class is FailureClass.DECODE
            assert (original.value, original.headers, original.key) == (value, headers, b"k")
            assert (journey.attempts, journey.subscription) == (0, "")

    run_virtual(scene())


def test_bit_flips_never_end_a_member() -> None:
    """Some flips leave an event; the others are dead letters; none of them does anything else."""
    chance = random.Random(7)
    flipped = []
    for _ in range(300):
        data = bytearray(GOOD)
        place = chance.randrange(len(data))
        data[place] ^= 1 << chance.randrange(8)
        flipped.append(bytes(data))

    async def scene() -> None:
        async with World.in_memory(partitions=1) as world:
            count = 0

            async def record(_: object) -> None:
                nonlocal count
                count += 1

            async with world.member(spec_of(on(record))) as member:
                for value in flipped:
                    await world.write(value)
                await world.settled()
                figures = member.figures
                assert figures.undecodable > 30
                assert figures.undecodable + count + figures.duplicates + figures.skipped == len(flipped)

    run_virtual(scene())


def test_a_newer_release_ends_the_member_and_loses_nothing() -> None:
    async def scene() -> None:
        async with World.in_memory(partitions=1) as world:
            mark = fingerprint({"type": "string"})
            await world.outbox.write(Write(world.names.schemas, mark, b'"string"'))
            await world.write(b"\xc3\x01" + mark + b"\x02a")
            with pytest.raises(SchemaUnknown):
                async with world.member(spec_of(on(Seen()))):
                    await asyncio.sleep(1.0)
            assert await world.lag() == 1
            assert await world.dead() == []

    run_virtual(scene())


def test_decoding_raises_nothing_but_decode_errors() -> None:
    chance = random.Random(3)
    texts = [
        msgspec.json.encode(
            {"specversion": "1.0", "id": "1", "source": "/s", "type": "t", "data": {"a": [1]}}
        ),
        GOOD,
    ]
    for _ in range(3_000):
        data = bytearray(chance.choice(texts))
        for _ in range(chance.randrange(1, 6)):
            data[chance.randrange(len(data))] = chance.randrange(256)
        record = Record(
            "t", 0, 0, chance.choice([0, -1, 2**62]), b"k", bytes(data[: chance.randrange(len(data))])
        )
        try:
            decode_event(record)
        except DecodeError:
            continue


def test_a_cloud_event_is_read_in_both_modes() -> None:
    binary = Record("t", 1, 5, 1_000, b"k", b'{"a": 1}', (*CE, ("ce_time", b"2026-01-01T00:00:00Z")))
    event = decode_event(binary)
    assert (event.event_id, event.name, event.namespace, event.key) == (
        "1",
        "payment.charged",
        "/elsewhere",
        "k",
    )
    assert event.payload == {"a": 1}
    assert event.metadata.fired_at.isoformat() == "2026-01-01T00:00:00+00:00"
    structured = b'{"specversion":"1.0","id":"1","source":"/x","type":"a.b","data_base64":"eyJhIjogMX0="}'
    event = decode_event(
        Record("t", 0, 0, 1_000, None, structured, (("content-type", b"application/cloudevents+json"),))
    )
    assert event.payload == {"a": 1}
    assert event.metadata.fired_at.timestamp() == 1


def test_an_envelope_is_read_whole() -> None:
    event = decode_event(Record("t", 0, 7, 0, b"k", GOOD))
    assert event.namespace == NAMESPACE
    assert event.payload == {"number": 0, "key": "k"}
    assert event.event_id == "00000000-0000-0000-0000-000000000000"
    assert event.offset == 7
