"""Whatever fails: what a track has written in a partition is a beginning of what it sent there, in order."""

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from tasker_kafka.schemas.errors import LogError, RecordTooLarge
from tasker_kafka.topics.log import TopicDescription, TopicPartition, Track, Write
from tasker_kafka.topics.memory import MemoryCluster, MemoryLog, run_virtual
from tests.support.log_sides import drain

TOPIC = "t"
PARTITIONS, TRACKS = 2, 3

places = st.integers(0, PARTITIONS - 1)
sends = st.tuples(
    st.just("send"), st.integers(0, TRACKS - 1), places, st.sampled_from([10, 700, 700, 700, 3000])
)
writes = st.tuples(st.just("write"), st.just(0), places, st.sampled_from([10, 3000]))
faults = st.tuples(
    st.sampled_from(["fail", "lose write", "lose answer", "delay"]), st.just(0), places, st.just(0)
)
pauses = st.tuples(st.just("sleep"), st.just(0), st.just(0), st.sampled_from([1, 15, 40]))
steps = st.lists(st.one_of(sends, sends, sends, writes, faults, pauses), min_size=6, max_size=60)


async def run(script: list[tuple[str, int, int, int]]) -> None:
    log = MemoryLog(MemoryCluster(latency=0.01), delivery_timeout=1.0)
    await log.admin().create([TopicDescription(TOPIC, PARTITIONS, 1, {"max.message.bytes": "2000"})])
    failures: list[Exception] = []
    outbox = await log.outbox(client_id="x", on_failure=failures.append)
    await outbox.warm([TOPIC])
    tracks: list[Track] = [outbox.track() for _ in range(TRACKS)]
    sent: dict[tuple[int, int], list[bytes]] = {}
    arranged = log.cluster.faults
    writing = []
    for number, (kind, track, partition, size) in enumerate(script):
        match kind:
            case "send":
                value = b"%d/%d/" % (track, number) + b"x" * size
                try:
                    outbox.send(Write(TOPIC, None, value, partition=partition), tracks[track])
                except LogError:
                    continue
                sent.setdefault((track, partition), []).append(value)
            case "write":
                value = b"w/%d/" % number + b"x" * size
                writing.append(
                    asyncio.create_task(outbox.write(Write(TOPIC, None, value, partition=partition)))
                )
            case "fail":
                arranged.fail_writes(TOPIC, partition=partition)
            case "lose write":
                arranged.lose_writes(TOPIC, partition=partition)
            case "lose answer":
                arranged.lose_acknowledgements(TOPIC, partition=partition)
            case "delay":
                arranged.delay_writes(0.05, TOPIC, partition=partition)
            case _:
                await asyncio.sleep(size / 1000)
    outcomes = [await outcome(track) for track in tracks]
    results = await asyncio.gather(*writing, return_exceptions=True)
    await outbox.close()
    await asyncio.sleep(0)
    assert all(track.in_flight == 0 for track in tracks)
    assert len(failures) == (1 if any(outcomes) else 0)
    for partition in range(PARTITIONS):
        written = [record.value or b"" for record in await drain(log, TopicPartition(TOPIC, partition))]
        for track in range(TRACKS):
            mine = [value for value in written if value.startswith(b"%d/" % track)]
            expected = sent.get((track, partition), [])
            assert mine == expected[: len(mine)]
            assert outcomes[track] is not None or mine == expected
        acknowledged = [
            place.offset for place in results if isinstance(place, tuple) and place.partition == partition
        ]
        assert all(written[offset].startswith(b"w/") for offset in acknowledged)
    await log.close()


async def outcome(track: Track) -> Exception | None:
    try:
        await track.barrier()
    except (LogError, RecordTooLarge) as failure:
        return failure
    return None


@given(steps)
def test_a_track_has_written_a_beginning_of_what_it_sent(script: list[tuple[str, int, int, int]]) -> None:
    run_virtual(run(script))
