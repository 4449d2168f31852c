"""Dead letters from their death to their return: a real member of each group, the operator's redrive between."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from tasker_kafka.deploy.reading.dead_letters import read_letter
from tasker_kafka.deploy.reading.subscriber_groups import forget_group, list_groups, read_group
from tasker_kafka.handlers.delivery.edits import parse_assignment
from tasker_kafka.handlers.delivery.journey import FailureClass
from tasker_kafka.handlers.delivery.letters import LetterFilter, letter_queues, letters_of, parse_place
from tasker_kafka.handlers.delivery.policy import DeliveryPolicy
from tasker_kafka.handlers.delivery.redrive import ActOrder, Edit, redrive
from tasker_kafka.handlers.delivery.runtime import GroupMember
from tasker_kafka.handlers.delivery.settings import DeliverySettings
from tasker_kafka.handlers.errors import PermanentError
from tasker_kafka.handlers.subscribing.event import DomainEvent
from tasker_kafka.handlers.subscribing.subscription import SubscriberSpec, Subscription
from tasker_kafka.schemas.codec import codec
from tasker_kafka.schemas.words import Delivery
from tasker_kafka.topics.declarations import TopicPlan, declarations
from tasker_kafka.topics.headers import for_event
from tasker_kafka.topics.log import Log, Record, TopicPartition, Write
from tasker_kafka.topics.names import TopicNames
from tasker_kafka.topics.provision import create
from tests.support.dead_letter_world import NAMESPACE, event
from tests.support.log_sides import Side, contract, drain, until
from tests.support.patience import PATIENCE_SECONDS

BY = ActOrder(actor="ann", reason="the ledger is back")
POLICY = DeliveryPolicy(max_attempts=2, delays=(0.01,))


@dataclass
class Ledger:
    """A handler that refuses some events until it is told not to."""

    refused: set[str] = field(default_factory=set)
    seen: list[tuple[str, int, bool]] = field(default_factory=list)
    """Number of the event, attempt, whether it was redriven."""
    payloads: list[Any] = field(default_factory=list)

    async def record(self, received: DomainEvent[Any]) -> None:
        """Take the event, or not."""
        number = str(int(received.event_id.replace("-", ""), 16))
        self.seen.append((number, received.delivery_attempt, received.is_redriven))
        if number in self.refused:
            raise PermanentError("the ledger is shut")
        self.payloads.append(received.payload)

    @property
    def taken(self) -> list[str]:
        """Numbers of the events that were taken, in order."""
        return [number for number, _, _ in self.seen if number not in self.refused]


class Stage:
    """A namespace of one partition, its groups, and an operator."""

    def __init__(self, side: Side, log: Log) -> None:
        self.side = side
        self.log = log
        self.names = TopicNames(side.prefix)

    @asynccontextmanager
    async def serving(self, group: str, ledger: Ledger) -> AsyncIterator[GroupMember]:
        """A member of the group while the block runs."""
        log = await self.side.log()
        spec = SubscriberSpec(
            group=group,
            subscriptions=(
                Subscription(
                    name="record",
                    patterns=("**",),
                    handler=ledger.record,
                    is_async=True,
                    delivery=Delivery.DURABLE,
                    policy=POLICY,
                ),
            ),
            namespaces=(NAMESPACE,),
        )
        member = GroupMember(log, self.names, spec, settings=DeliverySettings(commit_seconds=0.05))
        running = asyncio.create_task(member.run())
        await member.wait_ready()
        try:
            yield member
        finally:
            await member.stop()
            await running

    async def publish(self, *numbers: int, **parts: Any) -> None:
        """Events of one key."""
        outbox = await self.log.outbox(client_id="shop")
        topic = self.names.domain_events(NAMESPACE)
        await outbox.warm([topic])
        for number in numbers:
            made = event(number, **parts)
            await outbox.write(Write(topic, made.key.encode(), codec.encode(made), for_event(made), 0))
        await outbox.close()

    async def dead(self, count: int) -> list[str]:
        """Wait until so many letters are open: their places, by the original's offset."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while True:
                letters = await self._letters()
                if len(letters) >= count:
                    return letters
                await asyncio.sleep(0.05)

    async def _letters(self) -> list[str]:
        (queue,) = await letter_queues(self.log, self.names, [NAMESPACE])
        found = [each async for each in letters_of(self.log, queue, 0, LetterFilter())]
        return [str(each.place) for each in sorted(found, key=lambda each: each.journey.offset)]

    async def redrive(self, wanted: LetterFilter = LetterFilter(), order: ActOrder = BY) -> int:  # noqa: B008 - immutable
        """Redrive: how many letters."""
        return (await redrive(self.log, self.names, wanted, order)).letters

    async def source(self) -> list[Record]:
        """What was published."""
        return await drain(self.log, TopicPartition(self.names.domain_events(NAMESPACE), 0))


async def staged(side: Side) -> Stage:
    """The topics, and an operator's log."""
    log = await side.log()
    names = TopicNames(side.prefix)
    declared = declarations(names, TopicPlan(partitions=1), namespaces=[NAMESPACE])
    await create(log.admin(), declared)
    return Stage(side, log)


@contract
async def test_a_dead_letter_returns_to_its_group_alone(side: Side) -> None:
    """With all its attempts before it; other groups and the source learn nothing."""
    stage = await staged(side)
    audit, billing = Ledger(refused={"2"}), Ledger()
    async with stage.serving("audit", audit), stage.serving("billing", billing):
        await stage.publish(1, 2, 3)
        await until(lambda: len(billing.taken) == 3 and len(audit.taken) == 2)
        (place,) = await stage.dead(1)
        before = await stage.source()
        report = await read_letter(stage.log, stage.names, place, raw=True)
        assert report.original is not None
        assert bytes.fromhex(report.original.value or "") == before[1].value
        assert [(name, bytes.fromhex(value)) for name, value in report.original.headers] == list(
            before[1].headers
        )
        audit.refused.clear()
        assert await stage.redrive() == 1
        await until(lambda: ("2", 1, True) in audit.seen)
        assert await stage.redrive() == 0
    assert await stage.source() == before
    assert sorted(billing.taken) == ["1", "2", "3"]
    assert sorted(audit.taken) == ["1", "2", "2", "3"], "once refused, once taken"


@contract
async def test_a_whole_lane_returns_in_order(side: Side) -> None:
    """Also the one that was redriven alone and died again."""
    stage = await staged(side)
    ledger = Ledger(refused={"1", "2", "3", "4"})
    async with stage.serving("audit", ledger):
        await stage.publish(1, 2, 3, 4)
        first, *_ = await stage.dead(4)
        await stage.redrive(LetterFilter(places=frozenset({parse_place(first)})))
        await until(lambda: ("1", 1, True) in ledger.seen)
        again, *_ = await stage.dead(4)
        report = await read_letter(stage.log, stage.names, again)
        assert (report.letter.redrive_count, report.letter.place != first) == (1, True)
        ledger.refused.clear()
        ledger.seen.clear()
        assert await stage.redrive(LetterFilter(key=b"customer 1")) == 4
        await until(lambda: len(ledger.seen) == 4)
    assert ledger.taken == ["1", "2", "3", "4"]


@contract
async def test_an_edited_event_is_what_the_handler_gets(side: Side) -> None:
    """And a record that could not be decoded can be given another value."""
    stage = await staged(side)
    ledger = Ledger(refused={"1"})
    async with stage.serving("audit", ledger):
        await stage.publish(1)
        await stage.dead(1)
        ledger.refused.clear()
        order = ActOrder(actor="ann", reason="", edit=Edit(assignments=(parse_assignment("amount=9"),)))
        await stage.redrive(order=order)
        await until(lambda: ledger.payloads == [{"amount": 9}])
        outbox = await stage.log.outbox(client_id="stranger")
        await outbox.warm([stage.names.domain_events(NAMESPACE)])
        await outbox.write(Write(stage.names.domain_events(NAMESPACE), b"k", b"\x00broken", (), 0))
        await stage.dead(1)
        whole = Edit(value=codec.encode(event(7, payload=b'{"amount":1}')))
        decode = LetterFilter(failure_class=FailureClass.DECODE)
        assert await stage.redrive(decode, ActOrder(actor="ann", reason="", edit=whole)) == 1
        await until(lambda: ledger.payloads[1:] == [{"amount": 1}])


@contract
async def test_a_group_that_was_down_takes_what_was_redriven_meanwhile(side: Side) -> None:
    """Its lag, its retries and its dead letters are told while it is away; then it has none."""
    stage = await staged(side)
    ledger = Ledger(refused={"1"})
    async with stage.serving("audit", ledger):
        await stage.publish(1)
        await stage.dead(1)
        report = await read_group(stage.log, stage.names, "audit")
        assert (report.row.members, report.row.is_announced, report.row.dead_letters) == (1, True, 1)
        assert [each.name for each in report.subscriptions] == ["record"]
    await stage.publish(2, 3)
    ledger.refused.clear()
    await stage.redrive()
    (row,) = await list_groups(stage.log, stage.names)
    assert (row.group, row.members, row.lag, row.retry_depth, row.dead_letters) == ("audit", 0, 2, 1, 0)
    assert row.lag_seconds >= 0
    async with stage.serving("audit", ledger):
        await until(lambda: {"1", "2", "3"} <= {number for number, _, _ in ledger.seen[1:]})
    (row,) = await list_groups(stage.log, stage.names)
    assert (row.lag, row.retry_depth, row.lag_seconds) == (0, 0, 0.0)
    known = await forget_group(stage.log, stage.names, "audit", client_id="ann")
    assert known.group == "audit"
    (row,) = await list_groups(stage.log, stage.names)
    assert not row.is_announced
