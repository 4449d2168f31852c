"""Dead letters of events that no dead letter topic takes: the original's place and a hash stand for its bytes.

A topic that is not ours may take events of any size, and a dead letter topic that exists may take less than its
sources. Such an event must neither block its partition nor vanish: its letter keeps class and journey, the key and what
is small of the headers, and says how many bytes are missing. They still lie in the source while that keeps them, where
`restored` finds them again, and knows them by the hash.
"""

from __future__ import annotations

import hashlib
from typing import Final

import msgspec

from tasker_kafka.schemas.errors import NotFoundError, TaskerError
from tasker_kafka.topics.log import Log, Record, TopicPartitionOffset

from .journey import Journey, LeftOut

__all__ = ["restored", "without_bytes"]

_KEY_BYTES: Final = 512
_HEADERS_BYTES: Final = 2_048
"""Names and values of the first headers that are kept."""


def without_bytes(original: Record, journey: Journey) -> tuple[Record, Journey]:
    """What a letter holds in place of the original: a few kilobytes, however large that is."""
    key = original.key if original.key is None or len(original.key) <= _KEY_BYTES else None
    kept, room = [], _HEADERS_BYTES
    for name, value in original.headers:
        room -= len(name.encode()) + len(value)
        if room < 0:
            break
        kept.append((name, value))
    left_out = LeftOut(
        size=len(original.value or b""),
        sha256=_digest(original),
        headers=len(original.headers) - len(kept),
        key=key is not original.key,
    )
    marked = msgspec.structs.replace(original, key=key, value=None, headers=tuple(kept))
    return marked, msgspec.structs.replace(journey, left_out=left_out)


async def restored(log: Log, journey: Journey) -> Record:
    """The whole original of a letter that holds none of its bytes, from its source.

    NotFoundError when the source does not keep it any more, or holds something else at its place.
    """
    place = TopicPartitionOffset(journey.topic, journey.partition, journey.offset)
    try:
        found = await log.fetch_at(place)
    except TaskerError as error:
        if error.retryable:
            raise
        raise _gone(place, "its source does not keep it any more") from error
    if journey.left_out is None or _digest(found) != journey.left_out.sha256:
        raise _gone(place, "another record lies at its place")
    return found


def _digest(record: Record) -> str:
    """SHA-256 of the value, of nothing for a value that is null."""
    return hashlib.sha256(record.value or b"").hexdigest()


def _gone(place: TopicPartitionOffset, why: str) -> NotFoundError:
    return NotFoundError(
        f"{place.topic}/{place.partition}:{place.offset} was too large for its dead letter queue, and {why}.",
        next_step="Give its whole value (--value FILE), or purge the letter.",
    )
