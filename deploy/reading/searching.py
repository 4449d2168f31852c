"""Tags and text of finished tasks, read from their transitions: the table keeps a stub of them that has neither.

What a task was told at its creation, and what operators changed of it since, is all in its own records; of the other
tasks' records nothing but the key is looked at. The reading begins where the oldest of the tasks was created.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping

import msgspec

from tasker_kafka.schemas.codec import decode_transition_record
from tasker_kafka.schemas.records import Audit, TaskCreated, Transitions, Value
from tasker_kafka.schemas.redaction import redact, redact_text
from tasker_kafka.schemas.words import TransitionEvent
from tasker_kafka.topics.log import Log, TopicPartition
from tasker_kafka.topics.names import TopicNames
from tasker_kafka.topics.partitioner import partition_for

from .history import CLOCK_MARGIN_MS
from .scan import scan
from .walking import Progress

__all__ = ["Finished", "Searched", "read_searched"]

TOLD_EVERY = 1000


class Searched(msgspec.Struct):
    """What filters by tag and text look into."""

    tags: tuple[str, ...]
    context: Value
    reason: str
    correlation_id: str
    idempotency_key: str | None

    def fits(self, tags: Iterable[str], text: str | None) -> bool:
        """Whether all these tags are there, and the text, in any case. Contexts that are kept apart are not read."""
        if not set(tags) <= set(self.tags):
            return False
        if text is None:
            return True
        parts = (_shown(self.context), self.reason, self.correlation_id, self.idempotency_key or "")
        return text.casefold() in "\n".join(parts).casefold()


class Finished(msgspec.Struct, frozen=True):
    """A life of a task of which a stub is left. `below`: its records lie below this offset; None: anywhere."""

    life: int
    created_at: int
    below: int | None = None


async def read_searched(
    log: Log, names: TopicNames, tasks: Mapping[bytes, Finished], progress: Progress | None = None
) -> dict[bytes, Searched]:
    """What these tasks' records tell; tasks whose creation is not retained are left out."""
    count = await log.partition_count(names.transitions)
    oldest: dict[TopicPartition, int] = {}
    for task_id, task in tasks.items():
        place = TopicPartition(names.transitions, partition_for(task_id, count))
        oldest[place] = min(task.created_at, oldest.get(place, task.created_at))
    found: dict[bytes, Searched] = {}
    for place, created_at in oldest.items():
        begin = max(await log.begin_offset(place), await log.offset_at(place, created_at - CLOCK_MARGIN_MS))
        # Of two records of one command, as two owners may write them, the second says the same again, but late.
        commands: dict[bytes, int] = {}
        end = await log.end_offset(place)
        async for record in scan(log, {place: begin}):
            if progress is not None and not record.offset % TOLD_EVERY:
                progress(place.partition, record.offset - begin, end - begin)
            wanted = None if record.key is None else tasks.get(record.key)
            if record.key is None or wanted is None:
                continue
            if wanted.below is not None and record.offset >= wanted.below:
                continue
            decoded = decode_transition_record(record.value)
            if not isinstance(decoded, Transitions) or decoded.life != wanted.life:
                continue
            if decoded.command_offset > commands.get(record.key, -1):
                commands[record.key] = decoded.command_offset
                _take(found, record.key, decoded)
    return found


def _take(found: dict[bytes, Searched], task_id: bytes, record: Transitions) -> None:
    for each in record.transitions:
        data = each.data
        if isinstance(data, TaskCreated):
            found[task_id] = Searched(
                data.tags, data.context, data.reason, data.correlation_id, data.idempotency_key
            )
        elif (
            each.event is TransitionEvent.CHANGED
            and isinstance(data, Audit)
            and (known := found.get(task_id)) is not None
        ):
            known.tags = known.tags if data.tags is None else data.tags
            known.reason = known.reason if data.text is None else data.text


def _shown(context: Value) -> str:
    """A context as people may see it: secrets hidden, letters as letters, however its sender escaped them."""
    if not isinstance(context, bytes):
        return ""
    try:
        return json.dumps(redact(json.loads(context)), ensure_ascii=False)
    except (ValueError, RecursionError):
        return redact_text(context.decode(errors="replace"))
