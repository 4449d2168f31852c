"""A projector as a process that kills itself in the middle of a batch: rows are written, and nothing is committed.

python -m tests.support.projection_process BOOTSTRAP PREFIX PLACE BATCH [after]
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from typing import Any

from tasker_kafka.streams.projection import Projector, ProjectorSettings, Store
from tasker_kafka.streams.projection.draft import Draft
from tasker_kafka.streams.projection.writer import Writer
from tasker_kafka.topics.kafka import KafkaLog
from tasker_kafka.topics.names import TopicNames


def die() -> None:
    """As kill -9."""
    os.kill(os.getpid(), signal.SIGKILL)


def die_in(batch: int, *, is_after: bool) -> None:
    """Die in this batch with records: before its commit, or right after it."""
    left = [batch]
    write, apply = Draft.write, Writer.apply

    def note(self: Draft, *arguments: Any) -> None:
        write(self, *arguments)
        left[0] -= bool(self.records)
        if left[0] == 0 and not is_after:
            die()

    def applied(self: Writer, batches: Any) -> Any:
        done = apply(self, batches)
        if left[0] <= 0:
            die()
        return done

    setattr(Draft, "write", note)  # noqa: B010 - the one place where it is told to die
    setattr(Writer, "apply", applied)  # noqa: B010 - as above


async def main(bootstrap: str, prefix: str, place: str, batch: str, when: str = "before") -> None:
    """Project until it dies."""
    die_in(int(batch), is_after=when == "after")
    log = KafkaLog(bootstrap)
    await log.start()
    store = Store.open(place, prefix=prefix, create=True)
    await Projector(log, TopicNames(prefix), store, settings=ProjectorSettings(batch_records=25)).run()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
