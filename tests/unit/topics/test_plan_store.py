"""Templates are published once, followed by everybody, and never change under a version."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable

import msgspec
import pytest

from tasker_kafka.schemas.codec import encode
from tasker_kafka.schemas.errors import DecodeError, FencedError, LogError, SchemaUnknown, TemplateError
from tasker_kafka.schemas.identity import canonical_json
from tasker_kafka.schemas.plan import Plan, PlanStep
from tasker_kafka.schemas.plan_json import decode_plan, version_key
from tasker_kafka.schemas.template_records import PublishedTemplate, TemplatePointer
from tasker_kafka.topics import provision
from tasker_kafka.topics.declarations import declarations
from tasker_kafka.topics.log import Write
from tasker_kafka.topics.memory import MemoryLog, run_virtual
from tasker_kafka.topics.names import TopicNames
from tasker_kafka.topics.plans import PlanStore, pointer_key, publish

NAMES = TopicNames("shop")


def plan(version: str = "1.0.0", name: str = "checkout", handler: str = "pay") -> Plan:
    return Plan("shop", name, version, (PlanStep("pay", handler, "shop"),))


def with_store(check: Callable[[MemoryLog, PlanStore], Awaitable[None]]) -> None:
    """Run a check on a fresh cluster with a started store."""

    async def main() -> None:
        log = MemoryLog()
        await provision.create(log.admin(), declarations(NAMES))
        store = PlanStore(log, NAMES)
        await store.start()
        try:
            await check(log, store)
        finally:
            await store.stop()

    run_virtual(main())


def test_what_is_published_is_there_for_all() -> None:
    async def check(log: MemoryLog, store: PlanStore) -> None:
        (found,) = await publish(log, NAMES, [plan()], sources={plan().hash: "name: checkout"})
        assert (found.is_new, found.plan_hash) == (True, plan().hash)
        await store.catch_up()
        assert store.get(plan().hash) == store.resolve("shop", "checkout", "1.0.0") == plan()
        assert store.all() == [plan()]
        later = PlanStore(log, NAMES)
        await later.start()
        assert later.get(plan().hash) == plan()
        await later.stop()
        assert later.get(plan().hash) == plan()

    with_store(check)


def test_unknown_things_are_none() -> None:
    async def check(log: MemoryLog, store: PlanStore) -> None:
        await publish(log, NAMES, [plan()])
        await store.catch_up()
        assert store.get(bytes(32)) is None
        assert store.resolve("shop", "checkout", "9.9.9") is None
        assert store.resolve("shop", "other") is None

    with_store(check)


def test_the_same_again_writes_nothing() -> None:
    async def check(log: MemoryLog, store: PlanStore) -> None:
        await publish(log, NAMES, [plan()])
        await store.catch_up()
        before = dict(store._positions)
        (found,) = await publish(log, NAMES, [plan()])
        await store.catch_up()
        assert (found.is_new, store._positions) == (False, before)

    with_store(check)


def test_other_content_under_a_version_is_refused_and_nothing_is_written() -> None:
    async def check(log: MemoryLog, store: PlanStore) -> None:
        await publish(log, NAMES, [plan()])
        with pytest.raises(TemplateError, match=r"shop/checkout 1\.0\.0 .*other content"):
            await publish(log, NAMES, [plan("2.0.0"), plan(handler="other")])
        await store.catch_up()
        assert store.versions("shop", "checkout") == ["1.0.0"]

    with_store(check)


def test_two_contents_in_one_call_are_refused() -> None:
    async def check(log: MemoryLog, _store: PlanStore) -> None:
        with pytest.raises(TemplateError, match="other content"):
            await publish(log, NAMES, [plan(), plan(handler="other")])

    with_store(check)


def test_latest_is_the_highest_number() -> None:
    async def check(log: MemoryLog, store: PlanStore) -> None:
        await publish(log, NAMES, [plan("1.10.0"), plan("1.9.0"), plan("1.10.0-rc.1")])
        await store.catch_up()
        found = store.resolve("shop", "checkout")
        assert found is not None
        assert found.version == "1.10.0"
        assert store.versions("shop", "checkout") == ["1.9.0", "1.10.0-rc.1", "1.10.0"]

    with_store(check)


def test_versions_sort_as_semantic_versioning_says() -> None:
    ordered = [
        "0.9.9",
        "1.0.0-1",
        "1.0.0-2",
        "1.0.0-11",
        "1.0.0-alpha",
        "1.0.0-alpha.1",
        "1.0.0-alpha.beta",
        "1.0.0-beta",
        "1.0.0-beta.2",
        "1.0.0-beta.11",
        "1.0.0-rc.1",
        "1.0.0",
        "1.0.1",
        "1.2.0",
        "1.10.0",
        "10.0.0",
    ]
    for lower, higher in itertools.pairwise(ordered):
        assert version_key(lower) < version_key(higher)
    assert version_key("1.0.0+a") == version_key("1.0.0+b")


def test_a_race_of_publishers_has_one_winner() -> None:
    async def check(log: MemoryLog, store: PlanStore) -> None:
        contents = [plan(handler=f"h{number}") for number in range(4)]
        answers = await asyncio.gather(
            *(publish(log, NAMES, [each]) for each in contents), return_exceptions=True
        )
        await store.catch_up()
        kept = store.resolve("shop", "checkout", "1.0.0")
        won = [
            each
            for each, answer in zip(contents, answers, strict=True)
            if not isinstance(answer, BaseException)
        ]
        assert won == [kept]
        assert all(isinstance(each, (list, FencedError, TemplateError)) for each in answers)

    with_store(check)


async def write(log: MemoryLog, *writes: Write) -> None:
    outbox = await log.outbox(client_id="test")
    await outbox.warm([NAMES.templates])
    for each in writes:
        await outbox.write(each)
    await outbox.close()


def as_record(data: bytes, plan_hash: bytes) -> Write:
    template = PublishedTemplate(plan_hash=plan_hash, plan=data, source="", published_at=0, published_by="x")
    return Write(NAMES.templates, plan_hash, encode(template))


def test_damaged_records_are_passed_over() -> None:
    async def check(log: MemoryLog, store: PlanStore) -> None:
        await write(
            log,
            Write(NAMES.templates, b"k", b"noise"),
            Write(NAMES.templates, None, b"noise"),
            as_record(b"{}", bytes(32)),
        )
        await publish(log, NAMES, [plan()])
        await store.catch_up()
        assert store.all() == [plan()]
        assert store.get(bytes(32)) is None

    with_store(check)


def newer_json(each: Plan) -> tuple[bytes, bytes]:
    """A plan as a release would write it that has a further field."""
    import hashlib

    data = canonical_json(msgspec.json.encode({**msgspec.to_builtins(each), "colour": "red"}))
    return data, hashlib.sha256(data).digest()


def test_a_newer_form_is_told_apart_from_an_unknown_plan() -> None:
    async def check(log: MemoryLog, store: PlanStore) -> None:
        data, plan_hash = newer_json(plan())
        pointer = TemplatePointer(namespace="shop", name="checkout", version="1.0.0", plan_hash=plan_hash)
        key = pointer_key("shop", "checkout", "1.0.0")
        await write(log, as_record(data, plan_hash), Write(NAMES.templates, key, encode(pointer)))
        await store.catch_up()
        with pytest.raises(SchemaUnknown, match="colour"):
            store.get(plan_hash)
        with pytest.raises(SchemaUnknown, match="colour"):
            store.resolve("shop", "checkout")

    with_store(check)


def test_an_older_release_s_plan_keeps_its_hash_and_counts_as_the_same() -> None:
    """An earlier release wrote fewer fields: the hash of its bytes is not the one that this release would compute."""

    async def check(log: MemoryLog, store: PlanStore) -> None:
        import hashlib

        form = msgspec.to_builtins(plan())
        del form["failure_policy"]
        data = canonical_json(msgspec.json.encode(form))
        old_hash = hashlib.sha256(data).digest()
        pointer = TemplatePointer(namespace="shop", name="checkout", version="1.0.0", plan_hash=old_hash)
        key = pointer_key("shop", "checkout", "1.0.0")
        await write(log, as_record(data, old_hash), Write(NAMES.templates, key, encode(pointer)))
        await store.catch_up()
        known = store.resolve("shop", "checkout")
        assert known == plan()
        assert known is not None
        assert known.hash == old_hash != plan().hash
        (found,) = await publish(log, NAMES, [plan()])
        assert (found.is_new, found.plan_hash) == (False, old_hash)

    with_store(check)


def test_a_plan_under_another_hash_is_damage() -> None:
    with pytest.raises(DecodeError, match="another hash"):
        decode_plan(b"{}", bytes(32))


def test_tombstones_take_a_version_away() -> None:
    async def check(log: MemoryLog, store: PlanStore) -> None:
        await publish(log, NAMES, [plan(), plan("2.0.0")])
        await write(log, Write(NAMES.templates, pointer_key("shop", "checkout", "2.0.0"), None))
        await store.catch_up()
        assert store.versions("shop", "checkout") == ["1.0.0"]
        assert store.get(plan("2.0.0").hash) is not None

    with_store(check)


def test_a_stopped_store_says_so() -> None:
    async def check(log: MemoryLog, store: PlanStore) -> None:
        await store.stop()
        await publish(log, NAMES, [plan()])
        with pytest.raises(LogError, match="stopped"):
            await store.catch_up()

    with_store(check)
