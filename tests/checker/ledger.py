"""What happened outside Kafka: acknowledgements, handlers' starts and ends, injected faults.

The checker cannot learn these from the log it judges, so whoever causes them writes them down: JSON lines, one file
per process (`<folder>/<name>.<pid>.jsonl`), opened with O_APPEND and one `os.write` per line. So `kill -9` tears at
most the last line of a file, and that line's event counts as not seen.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from time import time_ns
from typing import Any, Final, TypeAlias
from uuid import UUID

import msgspec

__all__ = [
    "Acked",
    "Ended",
    "Fault",
    "Handled",
    "Ledger",
    "LedgerError",
    "LedgerWriter",
    "OperatorAcked",
    "Started",
    "Subscribed",
    "read_ledger",
]

Id: TypeAlias = bytes | str | UUID
"""16 bytes, or a UUID as text (with or without hyphens)."""

_KIND: Final = "kind"


class LedgerError(Exception):
    """A ledger file cannot be read; the text says which line."""


class Acked(msgspec.Struct, frozen=True, tag="acked", tag_field=_KIND, omit_defaults=True):
    """A request was acknowledged. What the submitter could not see is None."""

    request_id: str | None
    """Hex of 16 bytes."""
    task_id: str | None = None
    """Hex of 16 bytes."""
    topic: str | None = None
    partition: int | None = None
    offset: int | None = None
    sha: str | None = None
    """Hex SHA-256 of the record's value."""
    at: int = 0
    """Milliseconds since 1970, the writer's clock; so everywhere here."""


class OperatorAcked(msgspec.Struct, frozen=True, tag="operator_acked", tag_field=_KIND, omit_defaults=True):
    """An operator's command was acknowledged."""

    command_id: str | None
    """Hex of 16 bytes."""
    task_id: str | None = None
    action: str = ""
    topic: str | None = None
    partition: int | None = None
    offset: int | None = None
    at: int = 0


class Started(msgspec.Struct, frozen=True, tag="started", tag_field=_KIND, gc=False):
    """A step handler began: its first line."""

    task_id: str
    """Hex of 16 bytes."""
    life: int
    step: str
    attempt: int
    attempt_id: str
    worker: int
    """Id of the process."""
    at: int


class Ended(msgspec.Struct, frozen=True, tag="ended", tag_field=_KIND, gc=False):
    """A step handler ended: its last line."""

    task_id: str
    life: int
    step: str
    attempt: int
    attempt_id: str
    worker: int
    outcome: str
    """`success` or `failure`."""
    at: int


class Subscribed(msgspec.Struct, frozen=True, tag="subscribed", tag_field=_KIND, omit_defaults=True):
    """A subscription that was told to take every event of a topic, from its beginning."""

    group: str
    subscription: str
    topic: str
    names: tuple[str, ...] = ()
    """Only events of these names; empty: all."""
    is_ordered: bool = True
    """Events of one key are to be handled in order."""


class Handled(msgspec.Struct, frozen=True, tag="handled", tag_field=_KIND, gc=False):
    """A subscriber took an event: its first and its last line."""

    group: str
    subscription: str
    event_id: str
    """Hex of 16 bytes."""
    topic: str
    partition: int
    offset: int
    """Where the event's original lies."""
    worker: int
    outcome: str
    """`begun`, `success` or `failure`."""
    at: int


class Fault(msgspec.Struct, frozen=True, tag="fault", tag_field=_KIND):
    """A fault was injected."""

    fault: str
    detail: dict[str, Any]
    at: int


Entry: TypeAlias = Acked | OperatorAcked | Started | Ended | Subscribed | Handled | Fault


class LedgerWriter:
    """Appends to this process's file in `folder`. Safe in threads and after a fork; nothing is buffered."""

    def __init__(self, folder: Path | str, name: str) -> None:
        self._folder = Path(folder)
        self._name = name
        self._file = -1
        self._pid = -1

    def acked(
        self,
        *,
        request_id: Id | None,
        task_id: Id | None = None,
        topic: str | None = None,
        partition: int | None = None,
        offset: int | None = None,
        value: bytes | None = None,
    ) -> None:
        """The broker has acknowledged a request. `value`: the record's, if known; its SHA-256 is kept."""
        sha = None if value is None else hashlib.sha256(value).hexdigest()
        self._write(Acked(_maybe_hex(request_id), _maybe_hex(task_id), topic, partition, offset, sha, _now()))

    def operator_acked(
        self,
        *,
        command_id: Id | None,
        task_id: Id | None = None,
        action: str = "",
        topic: str | None = None,
        partition: int | None = None,
        offset: int | None = None,
    ) -> None:
        """The broker has acknowledged an operator's command."""
        ids = _maybe_hex(command_id), _maybe_hex(task_id)
        self._write(OperatorAcked(*ids, action, topic, partition, offset, _now()))

    def started(self, *, task_id: Id, life: int, step: str, attempt: int, attempt_id: str = "") -> None:
        """A handler's first line."""
        self._write(Started(_hex(task_id), life, step, attempt, attempt_id, os.getpid(), _now()))

    def ended(
        self, *, task_id: Id, life: int, step: str, attempt: int, outcome: str, attempt_id: str = ""
    ) -> None:
        """A handler's last line. `outcome`: `success` or `failure`."""
        self._write(Ended(_hex(task_id), life, step, attempt, attempt_id, os.getpid(), outcome, _now()))

    def subscribed(
        self,
        group: str,
        subscription: str,
        topic: str,
        *,
        names: tuple[str, ...] = (),
        is_ordered: bool = True,
    ) -> None:
        """A subscription exists from the topic's beginning."""
        self._write(Subscribed(group, subscription, topic, names, is_ordered))

    def handled(  # noqa: PLR0917 - who, what, where, how
        self,
        group: str,
        subscription: str,
        event_id: Id,
        topic: str,
        partition: int,
        offset: int,
        outcome: str,
    ) -> None:
        """A subscriber's first line (`begun`) or last one (`success`, `failure`)."""
        place = topic, partition, offset
        self._write(Handled(group, subscription, _hex(event_id), *place, os.getpid(), outcome, _now()))

    def fault(self, fault: str, detail: Mapping[str, Any] | None = None) -> None:
        """A fault was injected, e.g. `kill`; `detail` is JSON."""
        self._write(Fault(fault, dict(detail or {}), _now()))

    def close(self) -> None:
        """Close the file; a later entry opens it again."""
        if self._file >= 0 and self._pid == os.getpid():
            os.close(self._file)
        self._file = -1

    def _write(self, entry: Entry) -> None:
        if self._file < 0 or self._pid != os.getpid():
            self._open()
        os.write(self._file, msgspec.json.encode(entry) + b"\n")

    def _open(self) -> None:
        self._pid = os.getpid()
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._folder / f"{self._name}.{self._pid}.jsonl"
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)


class Ledger(msgspec.Struct):
    """Every entry of a ledger's files, each kind in the order of its file."""

    acked: list[Acked] = []
    operator_acked: list[OperatorAcked] = []
    started: list[Started] = []
    ended: list[Ended] = []
    subscribed: list[Subscribed] = []
    handled: list[Handled] = []
    faults: list[Fault] = []
    torn: int = 0
    """Last lines that were cut off."""

    def add(self, entry: Entry) -> None:
        """Take one entry."""
        match entry:
            case Acked():
                self.acked.append(entry)
            case OperatorAcked():
                self.operator_acked.append(entry)
            case Started():
                self.started.append(entry)
            case Ended():
                self.ended.append(entry)
            case Subscribed():
                self.subscribed.append(entry)
            case Handled():
                self.handled.append(entry)
            case Fault():
                self.faults.append(entry)


def read_ledger(folder: Path | str) -> Ledger:
    """Every file of the folder. LedgerError when a line that is not the last of its file cannot be read."""
    ledger = Ledger()
    decoder: msgspec.json.Decoder[Entry] = msgspec.json.Decoder(Entry)
    for path in sorted(Path(folder).glob("*.jsonl")):
        *lines, rest = path.read_bytes().split(b"\n")
        ledger.torn += bool(rest)
        for number, line in enumerate(lines, 1):
            try:
                ledger.add(decoder.decode(line))
            except msgspec.MsgspecError as error:
                raise LedgerError(f"{path} line {number} is no entry of a ledger: {error}") from None
    return ledger


def _now() -> int:
    return time_ns() // 1_000_000  # bound early: a run may set the clock of the module wrong


def _hex(value: Id) -> str:
    if isinstance(value, bytes):
        return value.hex()
    return (value if isinstance(value, UUID) else UUID(value)).hex


def _maybe_hex(value: Id | None) -> str | None:
    return None if value is None else _hex(value)
