"""Two watchers that both believe a partition is theirs: whoever reports fences the other first, then looks again."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

import pytest

from tasker_kafka.handlers.delivery.owing import Expected
from tasker_kafka.handlers.delivery.receipts import Owed
from tasker_kafka.handlers.delivery.reporting import Reports
from tasker_kafka.handlers.delivery.watching import WatcherCrashPoint, WatcherFigures
from tasker_kafka.schemas.codec import codec, decode
from tasker_kafka.schemas.errors import FencedError
from tasker_kafka.schemas.identity import format_id
from tasker_kafka.schemas.records import DomainEvent
from tasker_kafka.topics.log import Log, TopicPartition, TopicPartitionOffset, TransactionalWriter, Write
from tasker_kafka.topics.memory import run_virtual
from tests.support.log_sides import MemorySide
from tests.support.watcher_rig import FAST, WatchedWorld, watched

Before = Callable[[], Awaitable[None]]


async def nothing() -> None:
    """Nobody interferes."""


class Interrupted:
    """A transactional writer: something happens before it starts, or before it commits."""

    def __init__(self, writer: TransactionalWriter, before_start: Before, before_commit: Before) -> None:
        self._writer = writer
        self._before_start = before_start
        self._before_commit = before_commit
        self.close = writer.close

    async def start(self) -> None:
        await self._before_start()
        await self._writer.start()

    async def commit(self, writes: Sequence[Write]) -> list[TopicPartitionOffset]:
        await self._before_commit()
        return await self._writer.commit(writes)


def reports(world: WatchedWorld, log: Log, name: str) -> Reports:
    """The writing side of a watcher."""

    def reached(point: WatcherCrashPoint) -> None:
        assert point in (WatcherCrashPoint.FENCED, WatcherCrashPoint.REPORTED)

    return Reports(
        log,
        world.names,
        settings=FAST,
        codec=codec,
        member_id=name,
        figures=WatcherFigures(),
        reached=reached,
    )


@pytest.mark.parametrize("moment", ["start", "commit"])
def test_what_another_has_reported_meanwhile_is_not_reported_again(
    moment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> None:
        side = MemorySide("shop")
        async with watched(side) as world:
            records = await world.publish(3)
            source = TopicPartition(records[0].topic, 0)
            expected = [
                Expected(
                    Owed("shop", format_id(decode(each.value, DomainEvent).event_id), "audit", "record"),
                    "a.b",
                    each,
                )
                for each in records
            ]
            slow_log, quick_log = await side.log(), await side.log()
            quick = reports(world, quick_log, "quick")
            slow = reports(world, slow_log, "slow")

            async def other_reports() -> None:
                await quick.settle(source, expected)

            make = slow_log.transactional
            before = (other_reports, nothing) if moment == "start" else (nothing, other_reports)
            monkeypatch.setattr(slow_log, "transactional", lambda id_: Interrupted(make(id_), *before))
            if moment == "commit":
                with pytest.raises(FencedError):
                    await slow.settle(source, expected)
                monkeypatch.setattr(slow_log, "transactional", make)
            await slow.settle(source, expected)
            assert [original.offset for original, _ in await world.letters()] == [0, 1, 2]
            assert {each.written_by for each in await world.marks()} == {"quick"}
            await slow.close()
            await quick.close()
        await side.close()

    run_virtual(main())
