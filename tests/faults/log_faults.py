"""Faults of the log: the broker killed or paused, records twice, positions back at the beginning."""

from __future__ import annotations

import asyncio
import random
import time
from bisect import bisect_left
from typing import Any, Final

from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaError
from aiokafka.structs import TopicPartition as KafkaPartition

from tasker_kafka.topics.log import Record, TopicPartition, Write
from tests.faults.rig import QUEUE, RECOVERY_SECONDS, Outcome, Rig, now_ms

__all__ = [
    "duplicate_commands",
    "duplicate_dispatches",
    "duplicate_requests",
    "full_disk",
    "kill_broker",
    "kill_leader",
    "pause_broker",
    "reset_orchestrators",
    "reset_workers",
]

BACK: Final = 400
"""Copies are made of records at most this far from the end of their partition."""
TAKEOVER_SECONDS: Final = 40.0


async def kill_broker(rig: Rig, dice: random.Random) -> Outcome:
    """kill −9 and restart, with its data."""
    at = now_ms()
    return await _after(rig, await rig.brokers.kill(dice.uniform(0.1, 2.5)), at)


async def pause_broker(rig: Rig, dice: random.Random) -> Outcome:
    """SIGSTOP and SIGCONT, shorter and longer than a session timeout."""
    at = now_ms()
    return await _after(rig, await rig.brokers.pause(dice.uniform(1.0, 6.0)), at)


async def full_disk(rig: Rig, dice: random.Random) -> Outcome:
    """The broker can write no more and ends, in the middle of what it was writing; it is restarted with room again."""
    at = now_ms()
    return await _after(rig, await rig.brokers.fill(dice.uniform(0.1, 1.0)), at)


async def kill_leader(rig: Rig, dice: random.Random) -> Outcome:
    """Of three brokers, the one that leads a partition of the commands."""
    partition = TopicPartition(rig.names.commands, dice.choice(list(rig.observer.views)))
    leader, at = await rig.log._lookup._leader(partition), now_ms()
    proof = await rig.brokers.kill(dice.uniform(0.5, 3.0), leader)
    return await _after(rig, {**proof, "led": f"{partition.topic}-{partition.partition}"}, at)


async def _after(rig: Rig, proof: dict[str, Any], at: int) -> Outcome:
    """Everything goes on, with the old owners or with new ones."""
    everything = dict.fromkeys(rig.observer.views, -1)
    # What was accepted before the broker fell silent does not count.
    back = now_ms()
    stalled = await rig.stalled(everything, back)
    return Outcome(bool(proof["bit"]), proof, at, everything, back, stalled=stalled)


# ------------------------------------------------------------------------------------------ duplicates


async def duplicate_commands(rig: Rig, dice: random.Random) -> Outcome:
    """Copies of recent commands: every one of them must be ignored, or answered as the first was."""
    at = now_ms()
    places = await _copy(rig, dice, rig.names.commands)
    views = rig.observer.views
    highest = {number: max((o for p, o in places if p == number), default=-1) for number in views}
    passed = await rig.observer.until(
        lambda: all(view.history.command_offset >= highest[n] for n, view in views.items()), RECOVERY_SECONDS
    )
    ignored = sum(not _decided(rig, *place) for place in places)
    proof = {"copies": len(places), "ignored": ignored, "passed": passed}
    return Outcome(passed and ignored > 0, proof, at)


def _decided(rig: Rig, partition: int, offset: int) -> bool:
    commands = rig.observer.views[partition].commands
    place = bisect_left(commands, offset)
    return place < len(commands) and commands[place] == offset


async def duplicate_requests(rig: Rig, dice: random.Random) -> Outcome:
    """Copies of recent requests: no second task."""
    at = now_ms()
    places = await _copy(rig, dice, rig.names.task_requests)
    passed = await _until_committed(rig, f"{rig.names.prefix}-engine", rig.names.task_requests, places)
    return Outcome(passed and bool(places), {"copies": len(places), "read": passed}, at)


async def duplicate_dispatches(rig: Rig, dice: random.Random) -> Outcome:
    """Copies of recent dispatches: answered from the cache, or run again as the same attempt."""
    at, topic = now_ms(), rig.names.steps(QUEUE)
    places = await _copy(rig, dice, topic)
    passed = await _until_committed(rig, rig.names.worker_group(QUEUE), topic, places)
    return Outcome(passed and bool(places), {"copies": len(places), "read": passed}, at)


async def _copy(rig: Rig, dice: random.Random, topic: str) -> list[tuple[int, int]]:
    """Write up to 40 recent records once more, byte for byte: partition and offset of each copy."""
    recent: list[Record] = []
    for number in range(await rig.log.partition_count(topic)):
        place = TopicPartition(topic, number)
        end = await rig.log.end_offset(place)
        reader = await rig.log.reader({place: max(0, end - BACK)})
        try:
            while reader.position(place) < end:
                for batch in (await reader.fetch(timeout=0.5)).values():
                    recent += batch.records
        finally:
            await reader.close()
    outbox = await rig.log.outbox(client_id="faults-copies")
    try:
        await outbox.warm([topic])
        copies = dice.sample(recent, min(40, len(recent)))
        writes = [
            Write(topic, each.key, each.value, each.headers, partition=each.partition) for each in copies
        ]
        places = [await outbox.write(write) for write in writes]
    finally:
        await outbox.close()
    return [(place.partition, place.offset) for place in places]


async def _until_committed(rig: Rig, group: str, topic: str, places: list[tuple[int, int]]) -> bool:
    """Wait until the group has committed past every one of these."""
    until = time.monotonic() + RECOVERY_SECONDS
    while time.monotonic() < until:
        committed = await rig.log.admin().group_offsets(group)
        if all(
            (found := committed.get(TopicPartition(topic, number))) is not None and found.offset > offset
            for number, offset in places
        ):
            return True
        await asyncio.sleep(0.3)
    return False


# ------------------------------------------------------------------------------------------ positions


async def reset_orchestrators(rig: Rig, dice: random.Random) -> Outcome:
    """All orchestrators down, their group back to offset 0, all up again."""
    at, owned = now_ms(), rig.all_owned()
    topics = [rig.names.commands, rig.names.task_requests]
    proof = await _reset(rig, "orchestrator", f"{rig.names.prefix}-engine", topics)
    taken = await rig.observer.newer_owners(owned, TAKEOVER_SECONDS)
    stalled = await rig.stalled(owned, at)
    return Outcome(proof["reset"] and taken, {**proof, "new_owners": taken}, at, owned, stalled=stalled)


async def reset_workers(rig: Rig, dice: random.Random) -> Outcome:
    """All workers down, their group back to offset 0, all up again: every dispatch is delivered once more.

    It lasts until that is done, so that what runs again because of it is not put down to the next fault.
    """
    at, pids = now_ms(), tuple(rig.fleet.roles[name].pid for name in rig.fleet.names("worker"))
    group, topic = rig.names.worker_group(QUEUE), rig.names.steps(QUEUE)
    proof = await _reset(rig, "worker", group, [topic])
    partitions = range(await rig.log.partition_count(topic))
    ends = [(number, await rig.log.end_offset(TopicPartition(topic, number)) - 1) for number in partitions]
    proof["read_again"] = await _until_committed(rig, group, topic, [each for each in ends if each[1] >= 0])
    return Outcome(bool(proof["reset"]), proof, at, workers=pids)


async def _reset(rig: Rig, kind: str, group: str, topics: list[str]) -> dict[str, Any]:
    names = rig.fleet.names(kind)
    ends = [await rig.fleet.terminate(name) for name in names]
    before = await rig.log.admin().group_offsets(group)
    places = [
        KafkaPartition(topic, number)
        for topic in topics
        for number in range(await rig.log.partition_count(topic))
    ]
    refused = await _commit_zero(rig.brokers.bootstrap, group, places)
    after = await rig.log.admin().group_offsets(group)
    offsets = [after[TopicPartition(*place)].offset for place in places if TopicPartition(*place) in after]
    for name in names:
        await rig.fleet.start(kind, int(name.rpartition("-")[2]))
    return {
        "exits": [end.code for end in ends],
        "offsets_before": sum(each.offset for each in before.values()),
        "offsets_after": sum(offsets),
        "reset": len(offsets) == len(places) and not any(offsets),
        "refused": refused,
    }


async def _commit_zero(bootstrap: str, group: str, places: list[KafkaPartition]) -> str:
    """Commit offset 0 as tools do, while the group has no member; what the broker said against it."""
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, group_id=group, enable_auto_commit=False)
    refused = ""
    await consumer.start()
    try:
        consumer.assign(places)
        for _ in range(20):
            try:
                await consumer.commit(dict.fromkeys(places, 0))
            except KafkaError as error:  # members that were killed linger for a session
                refused = repr(error)
                await asyncio.sleep(0.5)
            else:
                return ""
    finally:
        await consumer.stop()
    return refused
