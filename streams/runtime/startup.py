"""What an orchestrator makes sure of before it joins the group."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from tasker_kafka.schemas.settings import Settings
from tasker_kafka.topics.configured import configured_partitions, topic_plan
from tasker_kafka.topics.declarations import declarations, declared_for
from tasker_kafka.topics.log import Log
from tasker_kafka.topics.names import TopicNames
from tasker_kafka.topics.plans import PlanStore
from tasker_kafka.topics.provision import publish_schemas, refuse, verify

__all__ = ["Prepare", "assert_topics", "nothing"]

Prepare = Callable[[Log, TopicNames], Awaitable[None]]


async def nothing(log: Log, names: TopicNames) -> None:
    """The caller has prepared everything."""


async def assert_topics(log: Log, names: TopicNames, settings: Settings) -> None:
    """Every topic is there and as declared, those of the published templates included; schemas are published.

    Raises TopicsDrifted with every difference. Where the settings name no partition count it is that of the commands
    topic; that the others have the same is part of the check.
    """
    admin = log.admin()
    commands = (await admin.describe([names.commands])).get(names.commands)
    found = settings.topics.partitions if commands is None else commands.partitions
    wanted = topic_plan(settings, configured_partitions(settings) or found)
    refuse(await verify(admin, declarations(names, wanted)))
    store = PlanStore(log, names)
    await store.start()
    try:
        queues, namespaces = declared_for(store.all())
    finally:
        await store.stop()
    refuse(await verify(admin, declarations(names, wanted, queues=queues, namespaces=namespaces)))
    await publish_schemas(log, names)
