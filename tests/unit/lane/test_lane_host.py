"""A host saves all its lanes in rounds, and commits what a round has saved in one go."""

from __future__ import annotations

from collections.abc import Mapping

from tasker_kafka.streams.lane import LaneSettings
from tasker_kafka.streams.lane.host import LaneHost
from tasker_kafka.topics.log import Isolation, TopicPartition
from tasker_kafka.topics.memory import MemoryLog
from tests.support.lane_world import LaneWorld, plan_of, virtual

PLAN = plan_of()
PARTITIONS = 4


class Scene:
    """A host of every partition, and what it has committed, round by round."""

    def __init__(self, world: LaneWorld) -> None:
        self.world = world
        self.rounds: list[dict[TopicPartition, int]] = []
        self.log = MemoryLog(world.cluster)
        self.host = LaneHost(
            log=self.log,
            names=world.names,
            settings=LaneSettings(checkpoint_interval_ms=300),
            instance="host",
            on_fatal=self._fail,
            commit=self._commit,
        )

    async def _commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        self.rounds.append(dict(offsets))

    @staticmethod
    def _fail(error: BaseException) -> None:
        raise error

    async def feed(self, topic: str) -> None:
        """Hand over what every partition of the topic holds."""
        places = [TopicPartition(topic, number) for number in range(PARTITIONS)]
        reader = await self.log.reader(dict.fromkeys(places, 0), isolation=Isolation.COMMITTED)
        for place, batch in (await reader.fetch(timeout=0)).items():
            await self.host.process(*place, batch)
        await reader.close()


@virtual
async def test_a_round_is_one_commit_of_whatever_has_moved() -> None:
    world = await LaneWorld(PLAN, partitions=PARTITIONS).open()
    scene, names = Scene(world), world.names
    await scene.host.start()
    await scene.host.acquire(range(PARTITIONS))
    tasks = [await world.start(PLAN) for _ in range(32)]
    await world.request()
    await scene.feed(names.commands)
    scene.host.begin_at(names.task_requests, 0, 0)
    await scene.feed(names.task_requests)
    await world.quiet()
    await world.quiet()
    moved = {TopicPartition(names.commands, world.partition_of(each)) for each in tasks}
    assert len(moved) == PARTITIONS
    assert len(scene.rounds) == 1
    assert scene.rounds[0].keys() == {*moved, TopicPartition(names.task_requests, 0)}
    assert scene.rounds[0][TopicPartition(names.task_requests, 0)] == 1
    for _ in range(10):
        await world.quiet()
    assert len(scene.rounds) == 1, "nothing has moved since"
    await scene.host.stop()
    await world.close()


@virtual
async def test_a_release_commits_what_it_saves() -> None:
    world = await LaneWorld(PLAN, partitions=PARTITIONS).open()
    scene = Scene(world)
    await scene.host.start()
    await scene.host.acquire(range(PARTITIONS))
    task = await world.start(PLAN)
    await scene.feed(world.names.commands)
    await scene.host.release()
    place = TopicPartition(world.names.commands, world.partition_of(task))
    assert scene.rounds == [{place: 1}]
    await scene.host.stop()
    await world.close()
