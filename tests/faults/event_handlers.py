"""Subscribers that fault runs kill: three groups that write down what they begin and what they have done.

Events are fired with a number in their payload; the number decides what the group `flaky` thinks of an event.
"""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path
from typing import Any

from tasker_kafka.handlers import DeliveryPolicy, DomainEvent, Subscriber
from tests.checker import LedgerWriter
from tests.faults.injection import LEDGER

__all__ = ["ALL", "GROUPS", "SINK", "audit", "billing", "flaky", "is_hopeless", "make_sink"]

SINK = "EVENT_RUN_SINK"
"""Variable: the file of the sample sink."""
GROUPS = ("audit", "billing", "flaky")
ALL = "all"
"""The one subscription of each group."""
PARKED_SECONDS = 3.0

_ledgers: dict[str, LedgerWriter] = {}

audit = Subscriber("audit")
billing = Subscriber("billing")
flaky = Subscriber(
    "flaky",
    retry=DeliveryPolicy(
        max_attempts=3, delays=(0.2, PARKED_SECONDS), in_place_seconds=0.5, breaker_failures=0
    ),
)


def is_hopeless(number: int) -> bool:
    """Whether this event is a dead letter of `flaky`."""
    return number % 100 == 7


def _failures(number: int) -> int:
    """How often it fails: twice means that it is parked in between."""
    return 1 if number % 40 == 3 else 2 if number % 50 == 1 else 0


def make_sink(path: Path) -> None:
    """Create the sample sink's tables: every try, and the effects, one for each event."""
    with sqlite3.connect(path) as sink:
        sink.execute("PRAGMA journal_mode = WAL")
        sink.execute("CREATE TABLE tries (event_id TEXT)")
        sink.execute("CREATE TABLE effects (event_id TEXT PRIMARY KEY)")


def _note(group: str, event: DomainEvent[Any], outcome: str) -> None:
    if group not in _ledgers:
        _ledgers[group] = LedgerWriter(Path(os.environ[LEDGER]), group)
    _ledgers[group].handled(group, ALL, event.event_id, event.topic, event.partition, event.offset, outcome)


@audit.on("**", delivery="durable", name=ALL)
async def record(event: DomainEvent[Any]) -> None:
    """Takes whatever comes."""
    _note("audit", event, "begun")
    _note("audit", event, "success")


@billing.on("**", delivery="acknowledged", name=ALL)
def charge(event: DomainEvent[Any]) -> None:
    """Has an effect, once for each event: the sink takes the event's id and the effect in one transaction."""
    _note("billing", event, "begun")
    with sqlite3.connect(os.environ[SINK], timeout=20) as sink:
        sink.execute("PRAGMA synchronous = OFF")
        sink.execute("INSERT INTO tries (event_id) VALUES (?)", (event.event_id,))
        sink.execute("INSERT OR IGNORE INTO effects (event_id) VALUES (?)", (event.event_id,))
    _note("billing", event, "success")


@flaky.on("**", delivery="durable", name=ALL)
async def fail(event: DomainEvent[Any]) -> None:
    """Fails now and then; some events always."""
    _note("flaky", event, "begun")
    number = int(event.payload["number"])
    if is_hopeless(number) or event.delivery_attempt <= _failures(number):
        _note("flaky", event, "failure")
        raise RuntimeError(f"event {number} is not liked")
    _note("flaky", event, "success")
