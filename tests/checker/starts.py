"""Handlers' starts from the ledger against what was granted (I5, I6), and workers' commits against answers (I12)."""

from __future__ import annotations

from .attempts import Attempts
from .ledger import Ledger
from .outputs import Attempt, Dispatches, name_of
from .raw import RawLog
from .report import Findings, place_of
from .wire import Wire, WireError

__all__ = ["check_starts", "check_worker_commits"]


def check_starts(
    ledger: Ledger,
    dispatches: Dispatches,
    attempts: Attempts,
    findings: Findings,
    *,
    settled: bool,
    rules_changed: bool,
) -> None:
    """Each start is of an attempt that was dispatched and granted. A second one is a redelivery, and counted."""
    seen: set[Attempt] = set()
    for entry in ledger.started:
        place = bytes.fromhex(entry.task_id), entry.life, entry.step, entry.attempt
        findings.count("starts")
        if place in seen:
            findings.count("redeliveries")
            continue
        seen.add(place)
        where = f"{name_of(place)} worker {entry.worker}"
        if place not in dispatches.sent and dispatches.is_whole:
            findings.add("I5", where, "a handler began an attempt that was never dispatched")
        elif place not in attempts.granted:
            findings.count("starts_unrecorded")
            if settled and not rules_changed:
                findings.add("I5", where, "a handler began an attempt that was never granted")


def check_worker_commits(raw: RawLog, wire: Wire, answered: set[Attempt], findings: Findings) -> None:
    """A worker group commits past a dispatch only once it has answered it or reported its start."""
    for topic, partitions in raw.topics_of("steps.").items():
        queue = topic.removeprefix(f"{raw.prefix}.steps.").removesuffix(".v1")
        committed = raw.groups.get(f"{raw.prefix}-worker-{queue}", {}).get(topic, {})
        for number, partition in partitions.items():
            for record in partition.records:
                if record.offset >= committed.get(number, 0):
                    break
                try:
                    datum = wire.decode_as(record.value, "Dispatch")
                except WireError:
                    continue
                place = datum["task_id"], datum["life"], datum["step"], datum["attempt"]
                if place not in answered:
                    where = place_of(topic, number, record.offset, datum["task_id"])
                    text = f"the workers have committed {committed[number]} past a dispatch without an answer"
                    findings.add("I12", where, text)
