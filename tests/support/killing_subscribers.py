"""Subscribers whose handlers end their process at some events; each delivery is a line in the file named by SEEN."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from tasker_kafka.handlers import DomainEvent, Subscriber

EXITS, ABORTS = 3, 11
"""The numbers of the events that do."""

killing = Subscriber("killing")
beside = Subscriber("beside")


def note(group: str, event: DomainEvent[Any]) -> int:
    """One line; small appends are whole."""
    with Path(os.environ["SEEN"]).open("a") as file:
        file.write(f"{group} {event.payload['number']}\n")
    return int(event.payload["number"])


@killing.on("order.*", delivery="durable")
async def handle(event: DomainEvent[dict[str, Any]]) -> None:
    """Two events end the process."""
    number = note("killing", event)
    if number == EXITS:
        os._exit(7)
    if number == ABORTS:
        os.abort()


@beside.on("order.*", delivery="durable")
def look_on(event: DomainEvent[dict[str, Any]]) -> None:
    """In a thread of the same process; harms nobody."""
    note("beside", event)
