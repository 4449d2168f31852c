"""Which topics a system needs, from what it has: base topics first, then those of the published templates."""

from __future__ import annotations

from collections.abc import Iterable

from tasker_kafka.schemas.plan import Plan
from tasker_kafka.topics.declarations import TopicDeclaration, TopicPlan, declarations, declared_for
from tasker_kafka.topics.log import Log
from tasker_kafka.topics.names import TopicNames
from tasker_kafka.topics.plans import PlanStore
from tasker_kafka.topics.provision import Drift, create, publish_schemas, verify

__all__ = [
    "DEFAULT_PARTITIONS",
    "create_topics",
    "declared_topics",
    "find_drifts",
    "find_missing_queues",
    "find_worker_drifts",
    "partitions_for",
    "published_plans",
]

DEFAULT_PARTITIONS = TopicPlan().partitions


async def partitions_for(
    log: Log, names: TopicNames, configured: int | None = None, *, usual: int = DEFAULT_PARTITIONS
) -> int:
    """The engine's partition count: as configured; else as the system that is there has it; else the usual."""
    if configured is not None:
        return configured
    there = await log.admin().describe([names.commands])
    return there[names.commands].partitions if names.commands in there else usual


async def create_topics(
    log: Log,
    names: TopicNames,
    wanted: TopicPlan,
    *,
    queues: Iterable[str] = (),
    namespaces: Iterable[str] = (),
    replication_factor: int = 1,
) -> list[str]:
    """Create what is missing, in two steps because the templates are in a topic: the names of what was created.

    `queues` and `namespaces` are those of templates that are not published yet.
    """
    admin = log.admin()
    created = await create(admin, declarations(names, wanted), replication_factor=replication_factor)
    declared = await declared_topics(log, names, wanted, queues=queues, namespaces=namespaces)
    created += await create(admin, declared, replication_factor=replication_factor)
    await publish_schemas(log, names)
    return created


async def find_drifts(log: Log, names: TopicNames, wanted: TopicPlan) -> list[Drift]:
    """Every difference between what the system needs and what the broker has."""
    admin = log.admin()
    drifts = await verify(admin, declarations(names, wanted))
    if any(drift.topic == names.templates for drift in drifts):
        return drifts
    return await verify(admin, await declared_topics(log, names, wanted))


async def find_worker_drifts(
    log: Log, names: TopicNames, wanted: TopicPlan, queues: Iterable[str]
) -> list[Drift]:
    """As `find_drifts`, of the topics alone that a worker of these queues may see."""
    queues = tuple(queues)
    own = {names.commands, names.payloads, names.control, names.workers, names.templates}
    own.update(names.steps(queue) for queue in queues)
    declared = declarations(names, wanted, queues=queues)
    return await verify(log.admin(), [each for each in declared if each.name in own])


async def find_missing_queues(log: Log, names: TopicNames) -> list[str]:
    """Topics of queues and namespaces that published templates need and nobody has created."""
    queues, namespaces = declared_for(await published_plans(log, names))
    wanted = [*(names.steps(each) for each in queues), *(names.domain_events(each) for each in namespaces)]
    return sorted(set(wanted) - (await log.admin().describe(wanted)).keys())


async def declared_topics(
    log: Log,
    names: TopicNames,
    wanted: TopicPlan,
    *,
    queues: Iterable[str] = (),
    namespaces: Iterable[str] = (),
) -> list[TopicDeclaration]:
    """Every topic of the system, with the queues and namespaces of its published templates."""
    of_queues, of_namespaces = declared_for(await published_plans(log, names))
    return declarations(
        names,
        wanted,
        queues=of_queues.union(queues),
        namespaces=of_namespaces.union(namespaces),
    )


async def published_plans(log: Log, names: TopicNames) -> list[Plan]:
    """Every published plan."""
    store = PlanStore(log, names)
    await store.start()
    try:
        return store.all()
    finally:
        await store.stop()
