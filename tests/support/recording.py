"""Recorded logs as fixtures: topics of a real run, record by record, in a file."""

from __future__ import annotations

import gzip
from base64 import b64decode, b64encode
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from tasker_kafka.schemas.codec import codec
from tasker_kafka.schemas.plan import Plan
from tasker_kafka.schemas.plan_json import decode_plan
from tasker_kafka.schemas.records import CHECKPOINT_KEY, Checkpoint, Transitions
from tasker_kafka.schemas.template_records import PublishedTemplate
from tasker_kafka.topics.history import AcceptedHistory
from tasker_kafka.topics.log import Record

__all__ = ["RECORDINGS", "Recording", "save"]

RECORDINGS = Path(__file__).parents[1] / "replay" / "recordings"
_ROOT = Path(__file__).parents[2]
TOPICS = ("templates", "commands", "transitions", "task_state")


def save(path: Path, topics: Mapping[str, Sequence[Record]]) -> None:
    """Write the records of these topics (by the names of TOPICS), a JSON line each."""
    lines = [
        msgspec.json.encode(
            {
                "topic": topic,
                "partition": record.partition,
                "offset": record.offset,
                "timestamp": record.timestamp,
                "key": None if record.key is None else b64encode(record.key).decode(),
                "value": None if record.value is None else b64encode(_anywhere(record.value)).decode(),
                "headers": [[name, b64encode(value).decode()] for name, value in record.headers],
            }
        )
        for topic, records in topics.items()
        for record in records
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(b"\n".join(lines), mtime=0))


def _anywhere(value: bytes) -> bytes:
    """The record without this machine's path (tracebacks have it); of the same length, so still the same Avro."""
    own = str(_ROOT).encode()
    return value.replace(own, b"/" + b"x" * (len(own) - 1))


class Recording:
    """A recorded run."""

    def __init__(self, name: str) -> None:
        self.records: dict[str, dict[int, list[Record]]] = {topic: defaultdict(list) for topic in TOPICS}
        for line in gzip.decompress((RECORDINGS / f"{name}.jsonl.gz").read_bytes()).splitlines():
            found = msgspec.json.decode(line)
            self.records[found["topic"]][found["partition"]].append(_record(found))

    def plans(self) -> dict[bytes, Plan]:
        """The published plans by their hash."""
        found: dict[bytes, Plan] = {}
        for record in self.records["templates"][0]:
            published = codec.decode_template_record(record.value or b"")
            if isinstance(published, PublishedTemplate) and record.key is not None:
                found[record.key] = decode_plan(published.plan, record.key)
        return found

    def history(self, partition: int) -> dict[int, tuple[bytes, Transitions]]:
        """The accepted records of a partition: command offset → key and record."""
        accepted = AcceptedHistory()
        found: dict[int, tuple[bytes, Transitions]] = {}
        for record in self.records["transitions"][partition]:
            decoded = codec.decode_transition_record(record.value or b"")
            if accepted.accept(record, decoded) and isinstance(decoded, Transitions):
                found[decoded.command_offset] = (record.key or b"", decoded)
        return found

    def table(self, partition: int) -> tuple[dict[bytes, bytes], Checkpoint]:
        """The changelog's newest values, and the last checkpoint."""
        values: dict[bytes, bytes] = {}
        for record in self.records["task_state"][partition]:
            key = record.key or b""
            if record.value is None:
                values.pop(key, None)
            else:
                values[key] = record.value
        return values, codec.decode(values.pop(CHECKPOINT_KEY), Checkpoint)


def _record(found: dict[str, Any]) -> Record:
    return Record(
        found["topic"],
        found["partition"],
        found["offset"],
        found["timestamp"],
        None if found["key"] is None else b64decode(found["key"]),
        None if found["value"] is None else b64decode(found["value"]),
        tuple((name, b64decode(value)) for name, value in found["headers"]),
    )
