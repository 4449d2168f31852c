"""A member of a subscriber's group in a process of its own, for tests that kill it.

    python -m tests.integration.delivery_process BOOTSTRAP PREFIX LEDGER FAILING_KEY DELAY

Every delivery is a line of the ledger: time (ms), key, number, attempt, and how it ended. The first delivery of the
failing key's event 0 fails; its retry is due after DELAY seconds.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from typing import Any

from tasker_kafka.handlers.delivery.policy import DeliveryPolicy
from tasker_kafka.handlers.delivery.runtime import GroupMember
from tasker_kafka.handlers.delivery.settings import DeliverySettings
from tasker_kafka.handlers.subscribing.event import DomainEvent
from tasker_kafka.topics.kafka import KafkaLog
from tasker_kafka.topics.names import TopicNames
from tests.support.delivery_world import on, spec_of


async def main(bootstrap: str, prefix: str, ledger: str, failing: str, delay: str) -> None:
    """Serve until killed."""
    with open(ledger, "ab", buffering=0) as file:  # noqa: ASYNC230 - one line is one write

        async def handle(event: DomainEvent[Any]) -> None:
            number, key = event.payload["number"], event.payload["key"]
            fails = key == failing and number == 0 and event.delivery_attempt == 1
            line = f"{time.time_ns() // 1_000_000} {key} {number} {event.delivery_attempt} {int(not fails)}\n"
            os.write(file.fileno(), line.encode())
            if fails:
                raise RuntimeError("not now")

        log = KafkaLog(bootstrap)
        await log.start()
        policy = DeliveryPolicy(max_attempts=3, delays=(float(delay),), in_place_seconds=0.5)
        member = GroupMember(
            log,
            TopicNames(prefix),
            spec_of(on(handle, policy=policy)),
            settings=DeliverySettings(commit_seconds=0.1, session_timeout_ms=6_000, heartbeat_ms=500),
        )
        await member.run()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
