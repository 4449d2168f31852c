"""Subscribers whose effects a test can see from outside: each delivery is a line of JSON in the file named by SEEN."""

from __future__ import annotations

import json
import os
import sys
import threading
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from tasker_kafka.handlers import BaseSubscriber, DomainEvent, Subscriber


class OrderPlaced(BaseModel):
    """The payload."""

    number: int


class NoteConfig(BaseModel):
    """What the class below takes."""

    mark: str


def note(group: str, event: DomainEvent[Any], **more: object) -> None:
    """One line; small appends are whole."""
    number = event.payload.number if isinstance(event.payload, OrderPlaced) else event.payload["number"]
    line = {"group": group, "number": number, "pid": os.getpid(), "attempt": event.delivery_attempt, **more}
    with Path(os.environ["SEEN"]).open("a") as file:
        file.write(json.dumps(line) + "\n")


steady = Subscriber("steady")


@steady.on("order.*", delivery="durable")
async def record(event: DomainEvent[OrderPlaced]) -> None:
    """Tells also what its process has loaded."""
    heavy = ("faust", "mode", "tasker_kafka.streams")
    note("steady", event, heavy=sorted(each for each in sys.modules if each.startswith(heavy)))


leaving = Subscriber("leaving")
_one_leaves = threading.Lock()


@leaving.on("order.*", delivery="durable")
def leave(event: DomainEvent[OrderPlaced]) -> None:
    """Ends its process at the first event, once."""
    gone = Path(os.environ["SEEN"] + ".left")
    with _one_leaves:  # events of other keys are handled beside this one
        if not gone.exists():
            gone.touch()
            os._exit(3)
    note("leaving", event)


class Noting(BaseSubscriber):
    """Runs where a file gives it a config."""

    config: NoteConfig

    async def handle_event(self, event: DomainEvent[Any]) -> None:
        """Tells its config."""
        note("noting", event, mark=self.config.mark)
