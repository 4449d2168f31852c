"""Who may start beside a dispatch that may have ended its worker."""

from __future__ import annotations

import asyncio

from tasker_kafka.handlers.watermark import Restored
from tasker_kafka.handlers.worker.partition import PartitionWork, QueueDelivery
from tasker_kafka.handlers.worker.suspects import SuspectTurn
from tasker_kafka.topics.log import Batch, Record, TopicPartition
from tests.support.lane_world import virtual

PATIENCE = 5.0


class Scene:
    """Two partitions with records that may be started, and a turn."""

    def __init__(self) -> None:
        self.freed = 0
        self.turn = SuspectTurn(self.free, patience_seconds=PATIENCE)
        self.first, self.second = self.partition(0), self.partition(1)

    def free(self) -> None:
        self.freed += 1

    def partition(self, number: int) -> PartitionWork:
        work = PartitionWork(
            TopicPartition("q", number),
            position=0,
            end=0,
            restored=Restored(),
            lookahead=10,
            on_finished=self.turn.end,
        )
        work.take_in(Batch(0, 9, tuple(Record("q", number, offset, 0, None, None) for offset in range(9))))
        entry = work.commit(is_open=True)
        assert entry is not None
        work.committed(*entry)
        self.turn.join(work)
        return work

    def alone(self, work: PartitionWork) -> QueueDelivery:
        assert self.turn.claim(work)
        delivery = work.start()
        self.turn.take(delivery)
        return delivery

    def may_start(self) -> tuple[bool, bool]:
        return self.turn.lets_start(self.first), self.turn.lets_start(self.second)


@virtual
async def test_who_must_be_alone_waits_for_all_that_is_in_flight_and_others_wait_for_it() -> None:
    scene = Scene()
    others = [scene.first.start(), scene.second.start()]
    assert not scene.turn.claim(scene.first)
    assert scene.may_start() == (True, False)
    others[0].finish()
    assert (scene.freed, scene.turn.claim(scene.first)) == (0, False)
    others[1].drop()
    assert scene.freed == 1
    delivery = scene.alone(scene.first)
    assert scene.may_start() == (False, False)
    delivery.finish()
    assert (scene.freed, scene.may_start()) == (2, (True, True))


@virtual
async def test_nobody_is_waited_for_longer_than_patience() -> None:
    scene = Scene()
    scene.second.start()
    assert not scene.turn.claim(scene.first)
    await asyncio.sleep(PATIENCE - 0.1)
    assert not scene.turn.claim(scene.first)
    await asyncio.sleep(0.2)
    assert scene.freed == 1
    scene.alone(scene.first)
    await asyncio.sleep(PATIENCE - 0.1)
    assert scene.may_start() == (False, False)
    await asyncio.sleep(0.2)
    assert (scene.freed, scene.may_start()) == (2, (True, True))
    assert not scene.turn.claim(scene.second)


@virtual
async def test_a_partition_that_goes_gives_up_its_claim_and_its_turn() -> None:
    scene = Scene()
    scene.first.start()
    assert not scene.turn.claim(scene.first)
    scene.turn.leave(scene.first)
    assert (scene.freed, scene.turn.lets_start(scene.second)) == (1, True)
    scene.alone(scene.second)
    third = scene.partition(2)
    assert not scene.turn.lets_start(third)
    scene.turn.leave(scene.second)
    assert (scene.freed, scene.turn.lets_start(third)) == (2, True)
