"""What an orchestrator makes sure of before it joins the group."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from tasker_kafka.topics.declarations import TopicPlan, declarations, declared_for
from tasker_kafka.topics.log import Log
from tasker_kafka.topics.names import TopicNames
from tasker_kafka.topics.plans import PlanStore
from tasker_kafka.topics.provision import publish_schemas, refuse, verify

__all__ = ["Prepare", "assert_topics"]

Prepare = Callable[[Log, TopicNames], Awaitable[None]]


async def assert_topics(log: Log, names: TopicNames) -> None:
    """Every topic is there and as declared, those of the published templates included; schemas are published.

    Raises TopicsDrifted with every difference. The partition count is that of the commands topic; that the others
    have the same is part of the check.
    """
    admin = log.admin()
    commands = (await admin.describe([names.commands])).get(names.commands)
    wanted = TopicPlan() if commands is None else TopicPlan(partitions=commands.partitions)
    refuse(await verify(admin, declarations(names, wanted)))
    store = PlanStore(log, names)
    await store.start()
    try:
        queues, namespaces = declared_for(store.all())
    finally:
        await store.stop()
    refuse(await verify(admin, declarations(names, wanted, queues=queues, namespaces=namespaces)))
    await publish_schemas(log, names)
