"""A group says what it takes; what it owed before it still owes; forgotten means nothing is owed."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from tasker_kafka.handlers.delivery.filters import EventFilter
from tasker_kafka.handlers.delivery.groups import GroupRegistry, sources_of
from tasker_kafka.handlers.delivery.owing import Debtor, Debtors
from tasker_kafka.handlers.subscribing.subscription import SubscriberSpec, Subscription
from tasker_kafka.schemas.errors import ConfigurationError, NotFoundError
from tasker_kafka.schemas.records import GroupSubscription, SubscriberGroup
from tasker_kafka.schemas.words import Delivery
from tasker_kafka.topics import provision
from tasker_kafka.topics.declarations import group_tables
from tasker_kafka.topics.log import Outbox, Write
from tasker_kafka.topics.memory import MemoryLog, run_virtual
from tasker_kafka.topics.names import TopicNames
from tests.support.watcher_rig import spec_of, subscription_of

NAMES = TopicNames("shop")
A, B = NAMES.domain_events("a"), NAMES.domain_events("b")


def play(scenario: Callable[[GroupRegistry, Outbox], Awaitable[None]]) -> None:
    async def main() -> None:
        log = MemoryLog()
        await provision.create(log.admin(), group_tables(NAMES))
        outbox = await log.outbox(client_id="test")
        await outbox.warm([NAMES.groups])
        registry = GroupRegistry(log, NAMES)
        await scenario(registry, outbox)
        await registry.close()
        await log.close()

    run_virtual(main())


def test_a_subscription_owes_since_it_first_took_what_it_takes() -> None:
    async def scenario(registry: GroupRegistry, outbox: Outbox) -> None:
        one, two = subscription_of("one", "a.*", "b.*"), subscription_of("two", "c.*")
        first = await registry.announce(spec_of("g", one, two), outbox, member="m1")
        await asyncio.sleep(60)
        changed = subscription_of("two", "c.*", delivery=Delivery.ACKNOWLEDGED)
        reordered = subscription_of("one", "b.*", "a.*")
        new = subscription_of("three", "d.*")
        second = await registry.announce(spec_of("g", reordered, changed, new), outbox, member="m2")
        begun, now = first.announced_at, second.announced_at
        assert now - begun >= 60_000
        assert [each.since for each in first.subscriptions] == [begun, begun]
        assert {each.name: each.since for each in second.subscriptions} == {
            "one": begun,
            "two": now,
            "three": now,
        }
        assert (await registry.refresh())["g"] == second

    play(scenario)


def test_a_forgotten_group_owes_nothing_and_begins_anew() -> None:
    async def scenario(registry: GroupRegistry, outbox: Outbox) -> None:
        await registry.announce(spec_of("billing-audit"), outbox, member="m")
        with pytest.raises(NotFoundError, match="billing-audits") as caught:
            await registry.forget("billing-audits", outbox)
        assert "did you mean billing-audit?" in str(caught.value)
        await registry.forget("billing-audit", outbox)
        assert await registry.refresh() == {}
        await asyncio.sleep(1)
        again = await registry.announce(spec_of("billing-audit"), outbox, member="m")
        assert again.subscriptions[0].since == again.announced_at

    play(scenario)


def test_a_word_that_cannot_be_read_leaves_the_last_one(caplog: pytest.LogCaptureFixture) -> None:
    async def scenario(registry: GroupRegistry, outbox: Outbox) -> None:
        said = await registry.announce(spec_of("g"), outbox, member="m")
        await outbox.write(Write(NAMES.groups, b"g", b"\x00newer", partition=0))
        await outbox.write(Write(NAMES.groups, b"h", b"\x00newer", partition=0))
        with caplog.at_level(logging.WARNING):
            assert await registry.refresh() == {"g": said}
        assert "what group g says of itself cannot be read" in caplog.text

    play(scenario)


def test_a_group_too_large_to_announce_is_refused() -> None:
    async def scenario(registry: GroupRegistry, outbox: Outbox) -> None:
        many = [subscription_of(f"s{number}", f"events.of.kind{number}" + "x" * 200) for number in range(400)]
        with pytest.raises(ConfigurationError, match="more subscriptions than its announcement can hold"):
            await registry.announce(spec_of("g", *many), outbox, member="m")

    play(scenario)


# ------------------------------------------------------------------------------------------- who owes what


def group(
    name: str, *, namespaces: tuple[str, ...] = (), topics: tuple[str, ...] = (), **said: Delivery | None
) -> SubscriberGroup:
    """A group, its subscriptions by name with how they take events; all take `a.*`."""
    return SubscriberGroup(
        group=name, namespaces=namespaces, topics=topics, retry_topics=(), ordering="key", version="1",
        announced_by="m", announced_at=0,
        subscriptions=tuple(
            GroupSubscription(name=each, patterns=("a.*",), since=100, delivery=delivery)
            for each, delivery in said.items()
        ),
    )  # fmt: skip


def never(*_: object) -> Any:
    """Is not asked."""
    raise AssertionError("no answer depends on it")


def owing(*groups: SubscriberGroup, topic: str = A, name: str = "a.b", at: int = 100) -> set[Debtor]:
    """Who owes a receipt for an event that was published as acknowledged."""
    debtors = Debtors({each.group: each for each in groups}, NAMES)
    return set(debtors.of(topic, name, at, lambda: Delivery.ACKNOWLEDGED, never))


def test_groups_take_what_they_name() -> None:
    topics = (A, B, "foreign", NAMES.commands, NAMES.domain_events_dlq("a"))
    assert sources_of(group("g"), NAMES, topics) == {A, B}
    assert sources_of(group("g", namespaces=("a",)), NAMES, topics) == {A}
    assert sources_of(group("g", topics=("foreign", "gone")), NAMES, topics) == {"foreign"}
    assert sources_of(group("g", namespaces=("b",), topics=("foreign",)), NAMES, topics) == {B, "foreign"}


def test_a_subscription_owes_for_its_events_from_its_beginning_on() -> None:
    one = group("g", s=None)
    assert owing(one) == {Debtor("g", "s")}
    assert owing(one, at=99) == set()
    assert owing(one, name="b.b") == set()
    assert owing(one, name="a.b.c") == set()
    assert owing(one, topic="foreign") == set()
    assert owing(group("g", namespaces=("b",), s=None)) == set()


def test_how_it_takes_events_goes_before_how_they_are_published() -> None:
    all_kinds = group(
        "g",
        as_published=None,
        durable=Delivery.DURABLE,
        loose=Delivery.FIRE_AND_FORGET,
        strict=Delivery.ACKNOWLEDGED,
    )
    debtors = Debtors({"g": all_kinds}, NAMES)

    def owing_of(published: Delivery) -> set[str]:
        return {each.subscription for each in debtors.of(A, "a.b", 100, lambda: published, never)}

    found = {published: owing_of(published) for published in Delivery}
    assert found == {
        Delivery.ACKNOWLEDGED: {"as_published", "strict"},
        Delivery.DURABLE: {"strict"},
        Delivery.FIRE_AND_FORGET: {"strict"},
    }


def test_the_publishers_promise_is_asked_for_only_where_it_matters() -> None:
    debtors = Debtors({"g": group("g", strict=Delivery.ACKNOWLEDGED)}, NAMES)

    assert debtors.of(A, "a.b", 100, never, never) == [Debtor("g", "strict")]


def test_filters_are_announced_and_asked() -> None:
    async def scenario(registry: GroupRegistry, outbox: Outbox) -> None:
        plain = subscription_of("s", "a.*")
        strict = replace(plain, headers={"region": "eu"}, fields={"order.total": 3, "paid": True})
        begun = (await registry.announce(spec_of("g", strict), outbox, member="m")).announced_at
        await asyncio.sleep(1)
        (said,) = (await registry.announce(spec_of("g", strict), outbox, member="m")).subscriptions
        assert (said.since, said.headers) == (begun, (("region", b"eu"),))
        debtors = Debtors(await registry.refresh(), NAMES)

        def is_owed(headers: dict[str, bytes], payload: object) -> bool:
            def passes(wanted: EventFilter) -> bool:
                return wanted.takes_headers(headers) and wanted.takes_fields(payload)

            return bool(debtors.of(A, "a.b", begun, lambda: Delivery.ACKNOWLEDGED, passes))

        paid = {"order": {"total": 3}, "paid": True}
        assert is_owed({"region": b"eu", "other": b"x"}, paid)
        assert not is_owed({"region": b"us"}, paid)
        assert not is_owed({}, paid)
        assert not is_owed({"region": b"eu"}, {"order": {"total": 3}})
        assert not is_owed({"region": b"eu"}, {"order": [3], "paid": True})
        (changed,) = (await registry.announce(spec_of("g", plain), outbox, member="m")).subscriptions
        assert changed.since > begun

    play(scenario)


def test_a_filter_that_no_payload_can_fit_is_refused() -> None:
    async def scenario(registry: GroupRegistry, outbox: Outbox) -> None:
        odd = replace(subscription_of("s", "a.*"), fields={"at": object()})
        with pytest.raises(ConfigurationError, match="field filter of subscription s"):
            await registry.announce(spec_of("g", odd), outbox, member="m")

    play(scenario)


def test_patterns_of_a_newer_release_owe_nothing_here() -> None:
    odd = GroupSubscription(name="odd", patterns=("a.{b,c}", ""), since=0)
    newer = SubscriberGroup(
        group="g", namespaces=(), topics=(), retry_topics=(), ordering="key", version="9", announced_by="m",
        announced_at=0, subscriptions=(odd, *group("g", s=None).subscriptions),
    )  # fmt: skip
    assert owing(newer) == {Debtor("g", "s")}
    strange = msgspec.structs.replace(odd, name="strange", patterns=("a.*",), fields=b"[")
    newer = msgspec.structs.replace(newer, subscriptions=(strange, *newer.subscriptions))
    assert owing(newer) == {Debtor("g", "s")}


def test_specs_are_described_as_they_are() -> None:
    async def scenario(registry: GroupRegistry, outbox: Outbox) -> None:
        spec = SubscriberSpec(
            group="g",
            subscriptions=(Subscription(name="s", patterns=("a.*",), handler=print, is_async=False),),
            namespaces=("a",),
            topics=("foreign",),
            ordering="partition",
        )
        said = await registry.announce(spec, outbox, member="m", retry_topics=("r",))
        assert (said.namespaces, said.topics, said.ordering) == (("a",), ("foreign",), "partition")
        assert (said.retry_topics, said.announced_by) == (("r",), "m")

    play(scenario)
