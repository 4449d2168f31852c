"""Subscribers that fault runs kill: three groups that write down what they begin and what they have done."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path
from typing import Any

from tasker_kafka.handlers import DeliveryPolicy, DomainEvent, Subscriber
from tests.checker import LedgerWriter

__all__ = ["GROUPS", "LEDGER", "SINK", "audit", "billing", "flaky"]

LEDGER, SINK = "EVENT_RUN_LEDGER", "EVENT_RUN_SINK"
"""Variables: the ledger's folder, the file of the sample sink."""
GROUPS = ("audit", "billing", "flaky")
FAILS_ONCE, FAILS_ALWAYS = 40, 400
"""One event in so many fails at its first delivery, or at each."""

_ledgers: dict[str, LedgerWriter] = {}

audit = Subscriber("audit")
billing = Subscriber("billing")
flaky = Subscriber(
    "flaky", retry=DeliveryPolicy(max_attempts=3, delays=(0.2, 1.0), in_place_seconds=0.5, breaker_failures=0)
)


def _note(group: str, event: DomainEvent[Any], outcome: str) -> None:
    if group not in _ledgers:
        _ledgers[group] = LedgerWriter(Path(os.environ[LEDGER]), group)
    _ledgers[group].handled(group, "all", event.event_id, event.topic, event.partition, event.offset, outcome)


@audit.on("**", delivery="durable", name="all")
async def record(event: DomainEvent[Any]) -> None:
    """Takes whatever comes."""
    _note("audit", event, "begun")
    _note("audit", event, "success")


@billing.on("**", delivery="acknowledged", name="all")
def charge(event: DomainEvent[Any]) -> None:
    """Has an effect, once for each event: the sink takes the event's id and the effect in one transaction."""
    _note("billing", event, "begun")
    with sqlite3.connect(os.environ[SINK], timeout=20) as sink:
        sink.execute("PRAGMA synchronous = OFF")
        sink.execute("INSERT INTO tries (event_id) VALUES (?)", (event.event_id,))
        sink.execute("INSERT OR IGNORE INTO effects (event_id) VALUES (?)", (event.event_id,))
    _note("billing", event, "success")


@flaky.on("**", delivery="durable", name="all")
async def fail(event: DomainEvent[Any]) -> None:
    """Fails now and then; some events always."""
    _note("flaky", event, "begun")
    number = int(event.payload["number"])
    if number % FAILS_ALWAYS == 7 or (number % FAILS_ONCE == 3 and event.delivery_attempt == 1):
        _note("flaky", event, "failure")
        raise RuntimeError(f"event {number} is not liked")
    _note("flaky", event, "success")
