"""Topic administration. Each change uses an admin client of its own: one may stay bound to a broker that died."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Any

from aiokafka import errors
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from tasker_kafka.schemas.errors import LogError
from tasker_kafka.topics.kafka.lookup import Lookup
from tasker_kafka.topics.kafka.translation import translating
from tasker_kafka.topics.log import Committed, MemberDescription, TopicDescription, TopicPartition

__all__ = ["KafkaAdmin"]

# `config_source` of a setting made for the topic itself, not inherited.
_TOPIC_SETTING = 1
_SETTLE_SECONDS = 10.0
_POLL_SECONDS = 0.02


class KafkaAdmin:
    """A `TopicAdmin` on Kafka."""

    def __init__(self, new_client: Callable[[], AIOKafkaAdminClient], lookup: Lookup) -> None:
        self._new_client = new_client
        self._lookup = lookup

    async def create(self, topics: Iterable[TopicDescription]) -> None:
        """Create topics and wait until they can be written; one that exists already is left alone.

        A replication factor below 1 is the broker's own default.
        """
        wanted = list(topics)
        if not wanted:
            return
        async with self._client("creating topics") as client:
            usual = await _usual_replication(client) if any(t.replication_factor < 1 for t in wanted) else 1
            new = [
                NewTopic(
                    topic.name,
                    topic.partitions,
                    topic.replication_factor if topic.replication_factor > 0 else usual,
                    topic_configs=dict(topic.config),
                )
                for topic in wanted
            ]
            response: Any = await client.create_topics(new)
        _check(response.topic_errors, "creating", accepted=errors.TopicAlreadyExistsError)
        names = [topic.name for topic in wanted]
        self._lookup.forget_topics(names)
        await self._settled(names, exist=True)

    async def describe(self, names: Iterable[str]) -> dict[str, TopicDescription]:
        """Those of `names` that exist; `config` holds inherited settings too."""
        found = await self._lookup.topics(list(names))
        if not found:
            return {}
        configs = await self._configs(found)
        return {
            name: TopicDescription(
                name=name,
                partitions=len(topic["partitions"]),
                replication_factor=min(len(partition["replicas"]) for partition in topic["partitions"]),
                config={entry["config_names"]: entry["config_value"] or "" for entry in configs[name]},
            )
            for name, topic in found.items()
        }

    async def names(self) -> set[str]:
        """Every topic's name, but for the broker's own."""
        return {name for name, topic in (await self._lookup.topics()).items() if not topic["is_internal"]}

    async def delete(self, names: Iterable[str]) -> None:
        """Delete topics and wait until they are gone; missing ones are ignored."""
        wanted = list(names)
        if not wanted:
            return
        async with self._client("deleting topics") as client:
            response: Any = await client.delete_topics(wanted)
        _check(response.topic_error_codes, "deleting", accepted=errors.UnknownTopicOrPartitionError)
        self._lookup.forget_topics(wanted)
        await self._settled(wanted, exist=False)

    async def update_config(self, name: str, config: Mapping[str, str]) -> None:
        """Set topic settings; the others keep their values."""
        await self._lookup.partition_count(name)
        # The request the driver knows replaces all settings of the topic: send those it has along.
        entries = (await self._configs([name]))[name]
        own = {
            entry["config_names"]: entry["config_value"]
            for entry in entries
            if entry.get("config_source") == _TOPIC_SETTING
        }
        resource = ConfigResource(ConfigResourceType.TOPIC, name, {**own, **config})
        async with self._client(f"setting up topic {name!r}") as client:
            responses: list[Any] = await client.alter_configs([resource])
        for response in responses:
            for code, message, *_ in response.resources:
                if code:
                    raise LogError(f"setting up topic {name!r}: {message or errors.for_code(code).__name__}")

    async def group_offsets(self, group: str) -> dict[TopicPartition, Committed]:
        """A group's committed offsets with metadata."""
        return await self._lookup.group_offsets(group)

    async def group_members(self, group: str) -> list[MemberDescription]:
        """Who is in a group now, by member id."""
        return await self._lookup.describe_members(group)

    async def _configs(self, names: Iterable[str]) -> dict[str, list[dict[str, Any]]]:
        resources = [ConfigResource(ConfigResourceType.TOPIC, name) for name in names]
        async with self._client("asking for topic settings") as client:
            responses = await client.describe_configs(resources)
        found = {}
        for response in responses:
            for resource in response.to_object()["resources"]:
                if resource["error_code"]:
                    raise errors.for_code(resource["error_code"])(resource["resource_name"])
                found[resource["resource_name"]] = resource["config_entries"]
        return found

    async def _settled(self, names: list[str], *, exist: bool) -> None:
        """Brokers learn of a change a moment after the controller has answered."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + _SETTLE_SECONDS
        while True:
            found = await self._lookup.topics(names)
            led = {
                name
                for name, topic in found.items()
                if all(part["leader"] >= 0 for part in topic["partitions"])
            }
            if (led == set(names)) if exist else not found:
                return
            if loop.time() > deadline:
                raise LogError(f"the change of topics {', '.join(names)} did not reach the brokers in time")
            await asyncio.sleep(_POLL_SECONDS)

    @asynccontextmanager
    async def _client(self, doing: str) -> AsyncIterator[AIOKafkaAdminClient]:
        with translating(doing):
            client = self._new_client()
            try:
                await client.start()
                yield client
            finally:
                await client.close()


async def _usual_replication(client: AIOKafkaAdminClient) -> int:
    """The brokers' `default.replication.factor`; asked for by hand, since the driver's request cannot leave it out."""
    cluster = await client.describe_cluster()
    resource = ConfigResource(ConfigResourceType.BROKER, str(cluster["brokers"][0]["node_id"]))
    for response in await client.describe_configs([resource]):
        for entry in response.to_object()["resources"][0]["config_entries"]:
            if entry["config_names"] == "default.replication.factor" and entry["config_value"]:
                return int(entry["config_value"])
    return 1


def _check(answers: Iterable[Any], doing: str, *, accepted: type[errors.KafkaError]) -> None:
    for name, code, *message in answers:
        error = errors.for_code(code)
        if error not in (errors.NoError, accepted):
            reason = message[0] if message and message[0] else error.__name__
            raise LogError(f"{doing} topic {name!r}: {reason}")
