"""The environment that a plan's events name: part of plans with events only, so that other hashes stay."""

from __future__ import annotations

import msgspec

from tasker_kafka.schemas.identity import plan_json
from tasker_kafka.schemas.plan import Plan
from tasker_kafka.schemas.plan_json import decode_plan
from tasker_kafka.schemas.template import Event, Template
from tasker_kafka.topics.declarations import declarations
from tasker_kafka.topics.memory import MemoryLog
from tasker_kafka.topics.names import TopicNames
from tasker_kafka.topics.plans import publish
from tasker_kafka.topics.provision import create

PLAIN = Template("plain").step("a", handler="x.a")
TELLING = Template("telling").step(
    "a", handler="x.a", publishes_events=[Event("order.done", delivery="durable")]
)


def test_a_plan_without_events_has_no_environment() -> None:
    assert PLAIN.compile(deployment="production").hash == PLAIN.compile().hash
    assert b"environment" not in plan_json(PLAIN.compile(deployment="production"))


def test_a_plan_with_events_names_it_and_is_read_back() -> None:
    silent, named = TELLING.compile(), TELLING.compile(deployment="production")
    assert (silent.deployment, named.deployment) == ("", "production")
    assert b"environment" not in plan_json(silent)
    assert decode_plan(plan_json(named), named.hash) == named


def test_canonical_json_has_no_key_that_older_releases_do_not_know() -> None:
    known = set(Plan.__struct_fields__) - {"environment"}
    assert set(msgspec.json.decode(plan_json(TELLING.compile()))) == known


async def test_the_same_content_for_another_environment_is_published_once() -> None:
    log, names = MemoryLog(), TopicNames()
    await log.start()
    await create(log.admin(), declarations(names))
    (first,) = await publish(log, names, [TELLING.compile(deployment="staging")])
    (again,) = await publish(log, names, [TELLING.compile(deployment="production")])
    (plain,) = await publish(log, names, [TELLING.compile()])
    assert first.is_new
    assert (again.is_new, plain.is_new) == (False, False)
    assert again.plan_hash == plain.plan_hash == first.plan_hash
    await log.close()
