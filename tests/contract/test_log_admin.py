"""What topic administration promises."""

import pytest

from tasker_kafka.schemas.errors import TopicsDrifted
from tasker_kafka.topics.log import TopicDescription, TopicPartition, Write
from tests.support.log_sides import Listener, Side, contract, outbox_for, until


@contract
async def test_topics_are_created_described_and_deleted(side: Side) -> None:
    log = await side.log()
    admin = log.admin()
    name, other = f"{side.prefix}-a", f"{side.prefix}-b"
    wanted = TopicDescription(name, 3, 1, {"cleanup.policy": "compact", "retention.ms": "1000"})
    await admin.create([wanted, TopicDescription(other, 1, 1, {})])
    described = await admin.describe([name, other, f"{side.prefix}-missing"])
    assert set(described) == {name, other}
    topic = described[name]
    assert (topic.name, topic.partitions, topic.replication_factor) == (name, 3, 1)
    assert {key: topic.config[key] for key in wanted.config} == wanted.config
    assert described[other].config["cleanup.policy"] == "delete"
    assert {name, other} <= await admin.names()
    await admin.delete([name, f"{side.prefix}-missing"])
    assert name not in await admin.names()
    assert await admin.describe([name]) == {}
    with pytest.raises(TopicsDrifted):
        await (await side.log()).partition_count(name)


@contract
async def test_creating_again_changes_nothing(side: Side) -> None:
    log = await side.log()
    admin = log.admin()
    name = f"{side.prefix}-a"
    await admin.create([TopicDescription(name, 2, 1, {"retention.ms": "1000"})])
    outbox = await outbox_for(log, name)
    await outbox.write(Write(name, None, b"x", partition=0))
    await admin.create([TopicDescription(name, 5, 1, {"retention.ms": "2000"}), *[]])
    topic = (await admin.describe([name]))[name]
    assert (topic.partitions, topic.config["retention.ms"]) == (2, "1000")
    assert await log.end_offset(TopicPartition(name, 0)) == 1
    await admin.create([])
    await admin.delete([])
    assert await admin.describe([]) == {}


@contract
async def test_settings_are_changed_one_by_one(side: Side) -> None:
    log = await side.log()
    admin = log.admin()
    name = f"{side.prefix}-a"
    await admin.create([TopicDescription(name, 1, 1, {"retention.ms": "1000", "cleanup.policy": "compact"})])
    await admin.update_config(name, {"retention.ms": "5000"})
    config = (await admin.describe([name]))[name].config
    assert (config["retention.ms"], config["cleanup.policy"]) == ("5000", "compact")
    with pytest.raises(TopicsDrifted):
        await admin.update_config(f"{name}-missing", {"retention.ms": "5000"})


@contract
async def test_a_group_nobody_knows_has_no_offsets(side: Side) -> None:
    log = await side.log()
    assert await log.admin().group_offsets(f"{side.prefix}-nobody") == {}


@contract
async def test_a_groups_members_are_described_with_their_partitions(side: Side) -> None:
    log = await side.log()
    topic = await side.topic(log, partitions=3)
    assert await log.admin().group_members(f"{side.prefix}-group") == []
    first, second = side.member(log, client_id="one"), side.member(log, client_id="two")
    first_listener, second_listener = Listener(), Listener()
    await first.start([topic], first_listener)
    (alone,) = await log.admin().group_members(f"{side.prefix}-group")
    assert (alone.client_id, bool(alone.host)) == ("one", True)
    assert alone.partitions == tuple(TopicPartition(topic, number) for number in range(3))
    await second.start([topic], second_listener)
    await until(lambda: len(first_listener.held) + len(second_listener.held) == 3)
    both = await log.admin().group_members(f"{side.prefix}-group")
    assert {each.client_id: set(each.partitions) for each in both} == {
        "one": first_listener.held,
        "two": second_listener.held,
    }
    assert [each.member_id for each in both] == sorted(each.member_id for each in both)
