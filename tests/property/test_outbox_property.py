"""Whatever fails: what a track has written in a partition is a beginning of what it sent there, in order."""

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from tasker_kafka.schemas.errors import LogError, RecordTooLarge, TaskerError
from tasker_kafka.topics.log import (
    LogFailure,
    Outbox,
    TopicDescription,
    TopicPartition,
    TopicPartitionOffset,
    Track,
    Write,
)
from tasker_kafka.topics.memory import MemoryCluster, MemoryLog, run_virtual
from tests.support.log_sides import drain

TOPIC = "t"
PARTITIONS, TRACKS = 2, 3

Step = tuple[str, int, int, int]

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


class Story:
    """Plays a script and keeps what was sent."""

    def __init__(self, log: MemoryLog, outbox: Outbox) -> None:
        self.log = log
        self.outbox = outbox
        self.tracks = [outbox.track() for _ in range(TRACKS)]
        self.sent: dict[tuple[int, int], list[bytes]] = {}
        self.writing: list[asyncio.Task[TopicPartitionOffset]] = []

    async def play(self, script: list[Step]) -> None:
        arranged = self.log.cluster.faults
        for number, (kind, track, partition, size) in enumerate(script):
            match kind:
                case "send":
                    self.send(number, track, partition, size)
                case "write":
                    write = Write(TOPIC, None, b"w/%d/" % number + b"x" * size, partition=partition)
                    self.writing.append(asyncio.create_task(self.outbox.write(write)))
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

    def send(self, number: int, track: int, partition: int, size: int) -> None:
        value = b"%d/%d/" % (track, number) + b"x" * size
        try:
            self.outbox.send(Write(TOPIC, None, value, partition=partition), self.tracks[track])
        except LogError:
            return
        self.sent.setdefault((track, partition), []).append(value)

    async def places(self) -> list[TopicPartitionOffset]:
        """Where the acknowledged writes lie."""
        results = await asyncio.gather(*self.writing, return_exceptions=True)
        assert all(isinstance(result, (TopicPartitionOffset, TaskerError)) for result in results)
        return [result for result in results if isinstance(result, TopicPartitionOffset)]


async def outcome(track: Track) -> Exception | None:
    try:
        await track.barrier()
    except (LogError, RecordTooLarge) as failure:
        return failure
    return None


async def run(script: list[Step]) -> None:
    log = MemoryLog(MemoryCluster(latency=0.01), delivery_timeout=1.0)
    await log.admin().create([TopicDescription(TOPIC, PARTITIONS, 1, {"max.message.bytes": "2000"})])
    failures: list[LogFailure] = []
    outbox = await log.outbox(client_id="x", on_failure=failures.append)
    await outbox.warm([TOPIC])
    story = Story(log, outbox)
    await story.play(script)
    outcomes = [await outcome(track) for track in story.tracks]
    acknowledged = await story.places()
    await outbox.close()
    await asyncio.sleep(0)
    assert all(track.in_flight == 0 for track in story.tracks)
    assert len(failures) == (1 if any(outcomes) else 0)
    for partition in range(PARTITIONS):
        records = await drain(log, TopicPartition(TOPIC, partition))
        written = [record.value or b"" for record in records]
        assert all(
            written[place.offset][:2] == b"w/" for place in acknowledged if place.partition == partition
        )
        for track in range(TRACKS):
            mine = [value for value in written if value.startswith(b"%d/" % track)]
            expected = story.sent.get((track, partition), [])
            assert mine == expected[: len(mine)]
            assert outcomes[track] is not None or mine == expected
    await log.close()


@given(steps)
def test_a_track_has_written_a_beginning_of_what_it_sent(script: list[Step]) -> None:
    run_virtual(run(script))
