"""Topics are created as declared, and any that promises less is named with the way out."""

from __future__ import annotations

import pytest

from tasker_kafka.schemas.codec import encode, published_schemas
from tasker_kafka.schemas.errors import TopicsDrifted
from tasker_kafka.schemas.plan import EventDeclaration, Plan, PlanStep
from tasker_kafka.schemas.words import Delivery, EventCondition
from tasker_kafka.topics import provision
from tasker_kafka.topics.declarations import TopicPlan, declarations, declared_for, retry_declaration
from tasker_kafka.topics.log import TopicDescription, TopicPartition
from tasker_kafka.topics.memory import MemoryLog, run_virtual
from tasker_kafka.topics.names import TopicNames
from tests.support.record_values import kinds

NAMES = TopicNames("shop")
DECLARED = declarations(NAMES, TopicPlan(partitions=4), queues=["shop"], namespaces=["shop"])
BY_NAME = {each.name: each for each in DECLARED}


def as_declared() -> dict[str, TopicDescription]:
    return {each.name: each.described(1) for each in DECLARED}


def drift_of(name: str, config: dict[str, str], partitions: int | None = None) -> list[provision.Drift]:
    existing = as_declared()
    topic = existing[name]
    merged = {**topic.config, **config}
    existing[name] = TopicDescription(name, topic.partitions if partitions is None else partitions, 1, merged)
    return provision.find_drift(DECLARED, existing)


def test_created_as_declared_and_found_without_drift() -> None:
    async def main() -> None:
        log = MemoryLog()
        made = await provision.create(log.admin(), DECLARED)
        assert made == [each.name for each in DECLARED]
        assert await provision.verify(log.admin(), DECLARED) == []
        assert await provision.create(log.admin(), DECLARED) == []
        provision.refuse([])

    run_virtual(main())


def test_every_record_has_its_topic_and_the_engines_topics_agree() -> None:
    assert {kind for each in DECLARED for kind in each.values} == set(kinds())
    engine = {each.name for each in DECLARED if each.co_partitioned}
    assert engine == {NAMES.task_requests, NAMES.commands, NAMES.transitions, NAMES.task_state}
    assert {BY_NAME[name].partitions for name in engine} == {4}


def test_rejections_hold_the_largest_request() -> None:
    size = {name: int(each.config["max.message.bytes"]) for name, each in BY_NAME.items()}
    assert size[NAMES.rejections] == size[NAMES.task_requests] + 64 * 1024
    assert size[NAMES.domain_events_dlq("shop")] == size[NAMES.domain_events("shop")] + 64 * 1024


def test_the_clock_is_the_brokers_where_the_engine_reads_it() -> None:
    stamped = {each.name for each in DECLARED if each.config.get("message.timestamp.type") == "LogAppendTime"}
    assert stamped == {NAMES.task_requests, NAMES.commands}


def test_history_may_be_kept_for_ever() -> None:
    forever = declarations(NAMES, TopicPlan(transitions_days=None))
    assert {each.config["retention.ms"] for each in forever if each.name == NAMES.transitions} == {"-1"}


def test_three_replicas_need_two_to_write() -> None:
    topic = BY_NAME[NAMES.commands]
    assert topic.described(3).config["min.insync.replicas"] == "2"
    assert "min.insync.replicas" not in topic.described(1).config


def test_a_missing_topic_is_drift() -> None:
    existing = as_declared()
    del existing[NAMES.steps("shop")]
    (found,) = provision.find_drift(DECLARED, existing)
    assert (found.topic, found.setting, found.found) == (NAMES.steps("shop"), "exists", "no")
    assert "tasker topics create" in found.way_out
    with pytest.raises(TopicsDrifted, match=r"shop\.steps\.shop\.v1: exists should be yes, is no"):
        provision.refuse([found])


@pytest.mark.parametrize(
    ("topic", "setting", "value"),
    [
        (NAMES.task_state, "cleanup.policy", "delete"),
        (NAMES.commands, "message.timestamp.type", "CreateTime"),
        (NAMES.transitions, "retention.ms", "3600000"),
        (NAMES.rejections, "max.message.bytes", "1048576"),
        (NAMES.task_state, "delete.retention.ms", "1000"),
        (NAMES.receipts, "cleanup.policy", "delete"),
        (NAMES.receipts, "retention.ms", "1000"),
    ],
)
def test_a_topic_that_promises_less_is_drift(topic: str, setting: str, value: str) -> None:
    (found,) = drift_of(topic, {setting: value})
    assert (found.topic, found.setting, found.found) == (topic, setting, value)
    assert f"{found.setting}={found.expected}" in found.way_out


def test_a_topic_that_promises_more_is_none() -> None:
    assert drift_of(NAMES.transitions, {"retention.ms": "-1", "max.message.bytes": "9000000"}) == []
    assert drift_of(NAMES.task_state, {"segment.bytes": "1000000", "compression.type": "zstd"}) == []
    assert drift_of(NAMES.steps("shop"), {}, 12) == []
    # Receipts had no age limit once; what keeps all of them is enough.
    assert drift_of(NAMES.receipts, {"cleanup.policy": "compact", "retention.ms": "1000"}) == []


def test_finite_history_where_it_should_be_endless_is_drift() -> None:
    declared = declarations(NAMES, TopicPlan(transitions_days=None))
    existing = {each.name: each.described(1) for each in declared}
    config = {**existing[NAMES.transitions].config, "retention.ms": "999999999999"}
    existing[NAMES.transitions] = TopicDescription(NAMES.transitions, 8, 1, config)
    assert [each.setting for each in provision.find_drift(declared, existing)] == ["retention.ms"]


@pytest.mark.parametrize("partitions", [3, 5])
def test_the_engines_partitions_never_change(partitions: int) -> None:
    (found,) = drift_of(NAMES.commands, {}, partitions)
    assert f"set topics.partitions to {partitions}" in found.way_out
    assert not found.is_repairable
    assert len(drift_of(NAMES.payloads, {}, partitions)) == (partitions < 4)


def test_settings_are_mended_and_the_rest_is_left() -> None:
    async def main() -> None:
        log = MemoryLog()
        admin = log.admin()
        wrong = [TopicDescription(each.name, 2, 1, {}) for each in DECLARED]
        await admin.create(wrong)
        left = await provision.repair(admin, await provision.verify(admin, DECLARED))
        assert {each.setting for each in left} == {"partitions"}
        assert await provision.verify(admin, DECLARED) == left

    run_virtual(main())


def test_templates_say_which_queues_and_namespaces_they_need() -> None:
    event = EventDeclaration("payment.charged", Delivery.DURABLE, EventCondition.SUCCESS)
    steps = (PlanStep("a", "a", "payments"), PlanStep("b", "b", "mail", publishes_events=(event,)))
    plans = [Plan("shop", "x", "1.0.0", steps), Plan("quiet", "y", "1.0.0", ())]
    assert declared_for(plans) == ({"payments", "mail"}, {"shop"})


def test_retry_topics_are_partitioned_as_their_source() -> None:
    topic = retry_declaration(NAMES, "mail", "30s", partitions=12)
    assert (topic.name, topic.partitions) == (NAMES.retry("mail", "30s"), 12)


def test_the_schemas_topic_knows_what_is_written() -> None:
    async def main() -> None:
        log = MemoryLog()
        await provision.create(log.admin(), DECLARED)
        await provision.publish_schemas(log, NAMES)
        reader = await log.reader({TopicPartition(NAMES.schemas, 0): 0})
        (batch,) = (await reader.fetch()).values()
        assert {each.key: (each.value or b"").decode() for each in batch.records} == published_schemas()
        assert len(published_schemas()) == len(kinds())

    run_virtual(main())


def test_a_schemas_key_is_what_its_records_begin_with() -> None:
    from tasker_kafka.schemas.records import Command, Forget

    assert encode(Command(bytes(16), Forget(1)))[2:10] in published_schemas()
