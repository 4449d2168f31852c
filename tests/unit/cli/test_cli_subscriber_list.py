"""`tasker subscriber list`, `show`, `forget` on a log in memory: what is told of a group, and how the commands end."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import pytest

from tasker_kafka.handlers.delivery.groups import GroupRegistry
from tasker_kafka.handlers.delivery.journey import FailureClass
from tasker_kafka.handlers.subscribing.subscription import SubscriberSpec, Subscription
from tasker_kafka.handlers.watermark import Restored, Watermark
from tasker_kafka.schemas.codec import codec
from tasker_kafka.topics.headers import for_event
from tasker_kafka.topics.journey import LeftOut
from tasker_kafka.topics.log import Committed, Log, TopicPartition, Write
from tasker_kafka.topics.memory import MemoryCluster
from tests.support.dead_letter_world import NAMESPACE, LetterWorld, event, original
from tests.support.log_sides import Listener, MemorySide

Tasker = Callable[..., Any]
T = TypeVar("T")


async def ignore(_: object) -> None:
    """A handler."""


SPEC = SubscriberSpec(
    group="audit",
    subscriptions=(Subscription(name="record", patterns=("payment.*",), handler=ignore, is_async=True),),
    namespaces=(NAMESPACE,),
)


class Groups:
    """The groups of the system that the commands talk to."""

    def __init__(self, cluster: MemoryCluster) -> None:
        self._side = MemorySide("tasker")
        self._side.cluster = cluster

    def do(self, work: Callable[[LetterWorld], Awaitable[T]]) -> T:
        """Do something on the log."""

        async def run() -> T:
            return await work(await LetterWorld.make(self._side))

        return asyncio.run(run())

    def publish(self, *numbers: int, partition: int = 0) -> None:
        """Events in the source."""

        async def work(world: LetterWorld) -> None:
            topic = world.names.domain_events(NAMESPACE)
            for number in numbers:
                made = event(number)
                await world.write(Write(topic, b"k", codec.encode(made), for_event(made), partition))

        self.do(work)

    def commit(
        self, offset: int, metadata: str = "", *, topic: str | None = None, partition: int = 0
    ) -> None:
        """The group's commit, by a member that leaves again."""

        async def work(world: LetterWorld) -> None:
            name = topic or world.names.domain_events(NAMESPACE)
            member = world.log.group(world.names.subscriber_group("audit"), client_id="one")
            await member.start([name], Listener())
            await member.commit({TopicPartition(name, partition): Committed(offset, metadata)})
            await member.close()

        self.do(work)

    def join(self) -> None:
        """A member whose session is still alive when the next command asks: it does not leave."""

        async def work(world: LetterWorld) -> None:
            member = world.log.group(world.names.subscriber_group("audit"), client_id="one")
            await member.start([world.names.domain_events(NAMESPACE)], Listener())

        self.do(work)

    def announce(self) -> None:
        """The group's word in the registry."""

        async def work(world: LetterWorld) -> None:
            registry = GroupRegistry(world.log, world.names)
            outbox = await world.log.outbox(client_id="test")
            await registry.announce(SPEC, outbox, member="one")

        self.do(work)


@pytest.fixture
def groups(tasker: Tasker, cluster: MemoryCluster) -> Groups:
    """A system with a registry and the group's topics."""
    tasker("topics", "create", "--partitions", "2", "--namespace", NAMESPACE)
    made = Groups(cluster)
    made.announce()
    return made


def row(tasker: Tasker, *options: str) -> dict[str, Any]:
    """The one group's line."""
    (found,) = tasker("subscriber", "list", "--json", *options).json["groups"]
    return dict(found)


def test_a_group_that_never_ran_lags_behind_the_beginning(tasker: Tasker, groups: Groups) -> None:
    groups.publish(1, 2, 3)
    groups.publish(4, partition=1)
    found = row(tasker)
    assert (found["group"], found["lag"], found["members"], found["lost"]) == ("audit", 4, 0, 0)
    assert "nobody serves it" in tasker("subscriber", "list").out


def test_what_is_finished_above_the_watermark_is_no_lag(tasker: Tasker, groups: Groups) -> None:
    groups.publish(*range(10))
    mark = Watermark(0)
    mark.extend(range(10), 10)
    for offset in (0, 1, 4, 5, 9):
        mark.finish(offset)
    groups.commit(mark.offset, mark.metadata(is_open=True, reach=10) or "")
    assert row(tasker)["lag"] == 5
    (first, _) = tasker("subscriber", "show", "audit", "--json").json["partitions"]
    assert (first["committed"], first["end"], first["lag"]) == (2, 10, 5)


def test_what_retention_took_unread_is_said(tasker: Tasker, groups: Groups, cluster: MemoryCluster) -> None:
    groups.publish(*range(10))
    groups.commit(3)
    cluster.store(TopicPartition("tasker.domain-events.shop.v1", 0)).truncate(7)
    found = row(tasker)
    assert (found["lost"], found["lag"]) == (4, 3)
    assert "4 records outlived their retention unread" in tasker("subscriber", "list").out


def test_lag_in_seconds_is_the_age_of_the_oldest(tasker: Tasker, groups: Groups) -> None:
    async def work(world: LetterWorld) -> None:
        now = world.log.now_ms()
        topic = world.names.domain_events(NAMESPACE)
        for age in (100_000, 50_000, 0):
            await world.write(Write(topic, b"k", b"v", (), 0, now - age))

    groups.do(work)
    groups.commit(1)
    assert 50 <= row(tasker)["lag_seconds"] < 80
    groups.commit(3)
    assert row(tasker)["lag_seconds"] == 0


def test_a_transactions_marker_alone_is_no_lag(tasker: Tasker, groups: Groups) -> None:
    async def work(world: LetterWorld) -> None:
        writer = world.log.transactional("shop")
        await writer.start()
        await writer.commit([Write(world.names.domain_events(NAMESPACE), b"k", b"v", (), 0)])
        await writer.close()

    groups.do(work)
    groups.commit(1)
    (place, _) = tasker("subscriber", "show", "audit", "--json").json["partitions"]
    assert (place["committed"], place["end"], place["lag"], place["lag_seconds"]) == (1, 2, 0, 0.0)


def test_retries_and_dead_letters_are_counted(tasker: Tasker, groups: Groups) -> None:
    async def work(world: LetterWorld) -> None:
        topic = world.names.retry("audit", "redrive")
        for number, due in ((1, 90_000), (2, 40_000), (3, 0)):
            record = original(world.names, number)
            await world.die(record, failure=FailureClass.TIMEOUT if due else FailureClass.DECODE)
            (letter, *_) = await world.letters()
            await world.write(journeying(world.log, topic, letter, record, due))

    groups.do(work)
    found = row(tasker)
    assert (found["retry_depth"], found["dead_letters"]) == (3, 3)
    shown = tasker("subscriber", "show", "audit", "--json").json
    assert {each["failure_class"]: each["letters"] for each in shown["dead_letters"]} == {
        "decode": 1,
        "timeout": 2,
    }
    (tier,) = shown["retries"]
    assert (tier["tier"], tier["depth"], tier["next_due_at"]) == ("redrive", 3, None)
    assert row(tasker, "--no-dead-letters")["dead_letters"] is None
    assert "timeout" in tasker("subscriber", "show", "audit").out


def test_events_that_end_processes_and_letters_without_bytes_are_told(tasker: Tasker, groups: Groups) -> None:
    groups.publish(1, 2, 3)
    named, alone, again = 2, 3, 4
    mark = Watermark(0, Restored(deliveries=((0, named), (1, alone), (2, again))))
    mark.extend(range(3), 3)
    groups.commit(0, mark.metadata(is_open=True, reach=0) or "")
    left_out = LeftOut(size=9, sha256="0" * 64)
    groups.do(lambda world: world.die(original(world.names, 1), left_out=left_out))
    groups.do(lambda world: world.die(original(world.names, 2)))
    found = row(tasker)
    assert (found["suspects"], found["dead_letters"], found["left_out"]) == (2, 2, 1)
    said = tasker("subscriber", "list").out
    assert "2 events have ended their process" in " ".join(said.split())
    assert row(tasker, "--no-dead-letters")["left_out"] is None


def journeying(log: Log, topic: str, letter: Any, record: Any, due: int) -> Write:
    """A record in a retry topic."""
    import msgspec

    from tasker_kafka.handlers.delivery.journey import wrap

    journey = msgspec.structs.replace(letter.journey, due_at=log.now_ms() + due if due else 0)
    return Write(topic, record.key, record.value, wrap(record, journey), 0)


def test_a_group_with_nothing_but_dead_letters_is_listed(tasker: Tasker, groups: Groups) -> None:
    groups.do(lambda world: world.die(original(world.names, 1), group="old"))
    found = tasker("subscriber", "list", "--json").json["groups"]
    assert [(each["group"], each["is_announced"]) for each in found] == [("audit", True), ("old", False)]
    assert tasker("subscriber", "show", "old").code == 0


def test_forget(tasker: Tasker, groups: Groups) -> None:
    assert tasker("subscriber", "forget", "audit", "--json").json == {
        "group": "audit",
        "subscriptions": ["record"],
    }
    assert not row(tasker)["is_announced"]
    again = tasker("subscriber", "forget", "audit")
    assert again.code == 4


def test_a_group_that_runs_is_not_forgotten(tasker: Tasker, groups: Groups, cluster: MemoryCluster) -> None:
    async def join(world: LetterWorld) -> None:
        # Not closed: its session is still alive when the command asks.
        member = world.log.group(world.names.subscriber_group("audit"), client_id="one")
        await member.start([world.names.domain_events(NAMESPACE)], Listener())

    groups.do(join)
    ran = tasker("subscriber", "forget", "audit")
    assert ran.code == 1
    assert "stop them first" in ran.err


def test_an_unknown_group_is_exit_code_4_and_the_nearest_is_named(tasker: Tasker, groups: Groups) -> None:
    ran = tasker("subscriber", "show", "audt")
    assert ran.code == 4
    assert "Did you mean audit?" in ran.err


def test_without_any_group(tasker: Tasker) -> None:
    ran = tasker("subscriber", "list")
    assert ran.code == 0
    assert "no subscriber groups" in ran.out


class TestDoctor:
    """What `tasker doctor` says of groups."""

    def checks(self, tasker: Tasker) -> list[dict[str, Any]]:
        """Its findings about subscribers."""
        return [each for each in tasker("doctor", "--json").json["checks"] if each["name"] == "subscribers"]

    def test_what_is_wrong_with_a_group(self, tasker: Tasker, groups: Groups, cluster: MemoryCluster) -> None:
        groups.publish(*range(5))
        groups.commit(1)
        cluster.store(TopicPartition("tasker.domain-events.shop.v1", 0)).truncate(3)
        groups.do(lambda world: world.die(original(world.names, 1)))
        away, lost, dead = self.checks(tasker)
        assert away["message"] == "nobody serves group audit; 2 records wait"
        assert "tasker subscriber forget audit" in away["way_out"]
        assert lost["message"] == "group audit: 2 records outlived their retention unread"
        assert re.search(r"1 open dead letters, the oldest \d+ s old", dead["message"])
        assert dead["way_out"] == "`tasker dlq list --group audit`; kept for 7 days"

    def test_a_served_group_is_well(self, tasker: Tasker, groups: Groups) -> None:
        groups.join()
        (check,) = self.checks(tasker)
        assert (check["verdict"], check["message"]) == ("ok", "1 groups are served")
