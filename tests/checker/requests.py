"""Requests: none is lost (I1), each is accounted for (I12), one identity is one task (I9)."""

from __future__ import annotations

import json
from collections.abc import Iterable
from hashlib import sha256
from typing import Any

from .commands import Commands
from .ledger import Acked, Ledger
from .outputs import Rejections
from .raw import RawLog
from .report import Findings, place_of
from .wire import Datum, Wire, WireError

__all__ = ["Requests"]


class Requests:
    """Every request, and what became of it."""

    def __init__(self, raw: RawLog, wire: Wire, rejections: Rejections, findings: Findings) -> None:
        self._raw = raw
        self._wire = wire
        self._rejections = rejections
        self._findings = findings
        self._topic = raw.topic("task-requests")
        self._started: dict[tuple[int, int], bytes] = {}
        self._request_ids: set[bytes] = set()
        self._task_ids: set[bytes] = set()
        self._identities: dict[Any, bytes] = {}

    # ---------------------------------------------------------------------------------------- what became

    def take_commands(self, commands: Commands) -> None:
        """Note which requests intake has turned into commands; repeats must say the same."""
        first: dict[tuple[int, int], Datum] = {}
        for command in commands:
            if command.kind != "StartTask":
                continue
            place = command.body["request"]["partition"], command.body["request"]["offset"]
            known = self._started.setdefault(place, command.task_id)
            where = commands.topic, commands.number, command.record.offset, command.task_id
            if known != command.task_id and self._is_request(place):
                self._findings.add("I9", where, f"request {place} has become another task, too")
            before = first.setdefault(place, command.body)
            if before is not command.body:
                self._findings.count("requests_repeated")
                if self._is_request(place) and not _same_start(before, command.body):
                    self._findings.add("I15", where, f"request {place} has become another StartTask, too")

    def take_created(self, created: Iterable[Datum]) -> None:
        """Note which requests have become tasks, and under which identity."""
        for data in created:
            self._request_ids.add(data["request_id"])
            self._task_ids.add(data["task_id"])
            identity = self._identity_of(data)
            task_id = data["task_id"]
            known = self._identities.setdefault(identity, task_id)
            where = f"task {task_id.hex()}"
            if known != task_id:
                text = f"its identity {identity!r} is that of task {known.hex()}"
                self._findings.add("I9", where, text)
            if identity[0] == "request" and task_id != data["request_id"]:
                text = f"the task of request {data['request_id'].hex()} has another id"
                self._findings.add("I9", where, text)

    def _is_request(self, place: tuple[int, int]) -> bool:
        """Whether a request lies there: who writes StartTasks by hand makes places up."""
        partition = self._raw.of("task-requests").get(place[0])
        return partition is not None and partition.at(place[1]) is not None

    def _identity_of(self, data: Datum) -> tuple[Any, ...]:
        if data["idempotency_key"] is not None:
            return "key", data["namespace"], data["name"], data["idempotency_key"]
        if data["identity"] == "context_hash" and (asked := self._asked(data["request"])) is not None:
            context = json.dumps(json.loads(asked["context"]), sort_keys=True)
            return "context", data["namespace"], data["name"], asked["version"], context
        if data["identity"] == "context_hash":
            return "task", data["task_id"]
        return "request", data["request_id"]

    def _asked(self, place: Datum) -> Datum | None:
        partition = self._raw.of("task-requests").get(place["partition"])
        record = partition.at(place["offset"]) if partition is not None else None
        try:
            return None if record is None else self._wire.decode_as(record.value, "TaskRequest")
        except WireError:
            return None

    # ------------------------------------------------------------------------------------------- accounts

    def check_accounts(self, committed: dict[int, int], *, settled: bool) -> None:
        """I12: every request below the group's offset (all, once settled) is a command or a rejection."""
        for number, partition in self._raw.of("task-requests").items():
            reached = partition.end if settled else committed.get(number, 0)
            for record in partition.records:
                if not record.committed:
                    continue
                self._findings.count("requests")
                place = number, record.offset
                if record.offset >= reached:
                    self._findings.count("requests_unread")
                elif place not in self._started and (self._topic, *place) not in self._rejections.places:
                    where = place_of(self._topic, number, record.offset)
                    self._findings.add("I12", where, "neither a command nor a rejection came of the request")

    def check_acked(self, ledger: Ledger, committed: dict[int, int], *, settled: bool) -> None:
        """I1: every acknowledged request is in the log, and has become a task or a rejection."""
        for entry in ledger.acked:
            self._findings.count("requests_acked")
            if entry.topic is not None and entry.partition is not None and entry.offset is not None:
                self._check_logged(entry, entry.topic, entry.partition, entry.offset)
            if self._is_done(entry):
                continue
            is_read = entry.offset is not None and entry.offset < committed.get(entry.partition or 0, 0)
            if settled or is_read:
                self._findings.add("I1", _place(entry), "acknowledged, and neither a task nor a rejection")
            else:
                self._findings.count("requests_in_flight")

    def _check_logged(self, entry: Acked, topic: str, number: int, offset: int) -> None:
        partition = self._raw.partitions.get(topic, {}).get(number)
        if partition is None or offset >= partition.start:
            record = partition.at(offset) if partition is not None else None
            if record is None:
                self._findings.add("I1", _place(entry), "acknowledged, and not in the log")
            elif entry.sha is not None and sha256(record.value or b"").hexdigest() != entry.sha:
                self._findings.add("I1", _place(entry), "the log holds other bytes than were acknowledged")

    def _is_done(self, entry: Acked) -> bool:
        request_id = bytes.fromhex(entry.request_id) if entry.request_id else None
        task_id = bytes.fromhex(entry.task_id) if entry.task_id else None
        if entry.partition is not None and entry.offset is not None:
            place = entry.partition, entry.offset
            if (entry.topic, *place) in self._rejections.places:
                return True
            if (
                self._started.get(place) in self._task_ids
                or self._started.get(place) in self._rejections.task_ids
            ):
                return True
        if request_id in self._request_ids or request_id in self._rejections.request_ids:
            return True
        return task_id in self._task_ids or task_id in self._rejections.task_ids


def _place(entry: Acked) -> str:
    if entry.topic is None or entry.partition is None:
        return f"request {entry.request_id}"
    return f"{place_of(entry.topic, entry.partition, entry.offset)} request {entry.request_id}"


def _same_start(one: Datum, other: Datum) -> bool:
    """The same StartTask. A large context is stored once more when a request is read again; a later plan may have
    become the latest meanwhile."""
    if one["plan_hash"] != other["plan_hash"]:
        return True
    mine, theirs = one["context"], other["context"]
    if isinstance(mine, dict) and isinstance(theirs, dict):
        mine, theirs = mine["sha256"], theirs["sha256"]
    return mine == theirs and all(one[field] == other[field] for field in one if field != "context")
