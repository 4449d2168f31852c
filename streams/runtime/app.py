"""The orchestrator as a Faust app: group membership, assignment, agents and the table; the lanes do the rest.

`faust -A tasker_kafka.streams.runtime.app worker` finds `app` here, made from the settings of the environment;
`tasker orchestrator` makes its own. What is replaced of Faust, and why: docs/decisions and design of the engine.

Order at a rebalance: (1) revoked: last checkpoints, offsets committed, lanes given up; (2) assigned: every
partition is acquired anew (which fences the old owner); (3) the consumer seeks to the checkpoints' positions;
(4) the flow resumes. A crash between any two of them leaves what a crash of the process leaves.
"""

from __future__ import annotations

import asyncio
import logging
import tempfile
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, cast

import faust
from aiokafka import TopicPartition as KafkaPartition
from aiokafka.errors import CommitFailedError, IllegalStateError, KafkaError
from aiokafka.structs import OffsetAndMetadata

from tasker_kafka.schemas.errors import ConfigurationError, LogError, PartitionLost
from tasker_kafka.schemas.settings import load_settings
from tasker_kafka.streams.lane.host import LaneHost
from tasker_kafka.streams.lane.reading import read_range
from tasker_kafka.topics.configured import use_configured_registry
from tasker_kafka.topics.garbage import settle_garbage
from tasker_kafka.topics.kafka.configured import configured_log
from tasker_kafka.topics.log import Isolation, Log, TopicPartition
from tasker_kafka.topics.names import TopicNames

from .config import OrchestratorConfig, orchestrator_config
from .exits import fatal
from .membership import Ordinal
from .startup import Prepare, assert_topics, nothing
from .table import LaneTable, LaneTableManager, TableOwner
from .transport import BatchConsumer, BatchTransport, BatchUser

__all__ = ["OrchestratorApp", "create_app"]

_log = logging.getLogger("tasker.orchestrator")


class OrchestratorApp(faust.App, TableOwner, BatchUser):
    """A Faust app whose agents feed lanes. One per process."""

    def __init__(self, config: OrchestratorConfig, log: Log, prepare: Prepare) -> None:
        self.config = config
        self.names = TopicNames(config.prefix)
        self.changelog_ends: dict[int, int] = {}
        self._cluster = log
        self._prepare = prepare
        self._ordinal = Ordinal.take(config.prefix, config.ordinal)
        instance = config.instance or self._ordinal.instance_id
        self.host = LaneHost(
            log=log,
            names=self.names,
            settings=config.lanes,
            instance=instance,
            on_fatal=self.end_process,
            commit=self.commit_offsets,
        )
        super().__init__(self.names.engine_group, **_faust_settings(config, instance))
        self.transport = BatchTransport(self.conf.broker_consumer, self)
        self.on_partitions_revoked.connect(self._on_revoked)

    def end_process(self, error: BaseException) -> None:
        """Every hook and loop ends here on an error: Faust would swallow it."""
        fatal(error)

    async def on_start(self) -> None:
        """Connect and read the templates before the group is joined."""
        try:
            await self._cluster.start()
            await self._prepare(self._cluster, self.names)
            await self.host.start()
            await super().on_start()
        except Exception as error:
            if self.should_stop:  # told so meanwhile: what it was starting has been stopped under it
                _log.info("told to stop before it had started: %s", error)
                return
            self.end_process(error)

    async def on_stop(self) -> None:
        """Finish the batch in hand, checkpoint, then let Faust leave the group."""
        try:
            self.consumer.stop_flow()
            self.flow_control.suspend()
            await self.host.stop()
            await super().on_stop()
        except Exception as error:
            self.end_process(error)
        self._ordinal.release()

    async def on_shutdown(self) -> None:
        """Close the log once the consumer is gone."""
        await super().on_shutdown()
        await self._cluster.close()

    async def start_position(self, topic: str, partition: int, committed: int | None) -> int | None:
        """Where the consumer has to read from after an assignment; None: nowhere, nobody here reads this topic.

        committed: the group's offset, None where the driver has found none. Commands begin where their lane's
        checkpoint says, requests at the committed offset, without one at the first that there is.
        """
        if topic == self.names.task_requests:
            if committed is not None:
                return committed
            # The driver takes a coordinator that is not ready for one that knows of none: ask again, and check.
            place = TopicPartition(topic, partition)
            known = (await self._cluster.admin().group_offsets(self.conf.id)).get(place)
            return await self._cluster.begin_offset(place) if known is None else known.offset
        return self.host.start_position(topic, partition)

    def open_flow(self) -> None:
        """Recovery is done: batches may be delivered."""
        cast(BatchConsumer, self.consumer).open_flow()

    def begin_at(self, topic: str, partition: int, offset: int) -> None:
        """The consumer reads a partition from this offset on: told before its first batch."""
        self.host.begin_at(topic, partition, offset)

    async def assert_nothing_between(self, topic: str, partition: int, first: int, end: int) -> None:
        """Offsets that were passed over must hold control records only, never a request or a command.

        Asked whenever there is a gap, which is rare: so a defect in seeking, or records lost to retention, ends the
        process instead of losing a task silently.
        """
        place = TopicPartition(topic, partition)
        available = await self._cluster.begin_offset(place)
        if available > first:
            raise PartitionLost(
                f"{topic} [{partition}]: records {first} to {available - 1} were deleted before they were read",
                next_step="raise the topic's retention.ms; start once with --accept-loss to go on without them",
            )
        timeout_ms = self.config.lanes.acquire_timeout_ms
        async for records in read_range(self._cluster, place, first, end, timeout_ms=timeout_ms):
            if records:
                raise PartitionLost(
                    f"{topic} [{partition}]: record {records[0].offset} was passed over by the consumer",
                    next_step="this is a defect; a restart reads it again, nothing is lost",
                )

    async def acquire(self, partitions: set[int], requests: set[int]) -> None:
        """Become the owner of these partitions (called in the assignment callback, nowhere else).

        requests: the partitions of the requests topic that were assigned; they must be the same.
        """
        try:
            if partitions != requests:
                raise ConfigurationError(
                    f"commands {sorted(partitions)} and requests {sorted(requests)} were assigned apart",
                    next_step="`tasker topics verify`: both topics need the same partition count",
                )
            began, busy = time.monotonic(), time.process_time()
            await self.host.acquire(partitions)
            tables = [lane.table for lane in self.host.engines.values()]
            _log.info(
                "owns partitions %s after %.2f s (CPU %.2f s): %d live tasks, %d closed ones",
                sorted(partitions),
                time.monotonic() - began,
                time.process_time() - busy,
                sum(table.live_count for table in tables),
                sum(table.stub_count for table in tables),
            )
            for partition in partitions:
                end = await self._cluster.end_offset(
                    TopicPartition(self.names.task_state, partition), isolation=Isolation.UNCOMMITTED
                )
                self.changelog_ends[partition] = end - 1
            settle_garbage()
        except Exception as error:
            self.end_process(error)

    async def _on_revoked(self, *_args: Any, **_kwargs: Any) -> None:
        try:
            await self.host.release()
        except Exception as error:
            self.end_process(error)

    async def commit_offsets(self, offsets: Mapping[TopicPartition, int]) -> None:
        """Commit positions. While the group rebalances the next owner starts lower, and repeats are identical."""
        consumer = cast(BatchConsumer, self.consumer)._thread._ensure_consumer()
        shown = ", ".join(f"{place.topic}-{place.partition}: {offset}" for place, offset in offsets.items())
        try:
            await consumer.commit(
                {KafkaPartition(*place): OffsetAndMetadata(offset, "") for place, offset in offsets.items()}
            )
        except (CommitFailedError, IllegalStateError) as error:
            _log.info("offsets not committed (%s): %s", shown, error)
        except KafkaError as error:
            if any(place.topic != self.names.commands for place in offsets):
                raise LogError(f"committing offsets failed ({shown}): {error!r}") from error
            _log.warning("offsets not committed (%s): %r", shown, error)


def _faust_settings(config: OrchestratorConfig, instance_id: str) -> dict[str, Any]:
    """Faust's settings; each is here because its default is wrong for a log that must not lose anything."""
    return {
        "broker": [f"kafka://{address}" for address in config.bootstrap.split(",")],
        "broker_credentials": config.credentials,
        "broker_session_timeout": config.session_timeout_ms / 1000,
        "broker_heartbeat_interval": config.heartbeat_ms / 1000,
        "broker_rebalance_timeout": config.rebalance_timeout_ms / 1000,
        "broker_request_timeout": max(30.0, config.session_timeout_ms / 1000 + 5),
        "broker_commit_interval": 3600.0,
        "broker_commit_livelock_soft_timeout": 24 * 3600.0,
        "stream_processing_timeout": 24 * 3600.0,
        "consumer_auto_offset_reset": "earliest",
        "consumer_group_instance_id": instance_id,
        "consumer_max_fetch_size": config.max_poll_bytes,
        # A checkpoint under way when Faust looks counts for one of the two ends that it compares, not for the other.
        "recovery_consistency_check": False,
        "datadir": Path(tempfile.gettempdir()) / f"tasker-{config.prefix}-faust",
        "store": "memory://",
        "stream_buffer_maxsize": 0,
        "stream_recovery_delay": 0.0,
        "stream_wait_empty": False,
        "table_standby_replicas": 0,
        "TableManager": LaneTableManager,
        "Table": LaneTable,
        "topic_allow_declare": False,
        "topic_disable_leader": True,
        "web_enabled": False,
        "worker_redirect_stdouts": False,
    }


def create_app(config: OrchestratorConfig, log: Log, prepare: Prepare = nothing) -> OrchestratorApp:
    """The app with its table and its two agents.

    log: not yet started. prepare: done once it is, before the group is joined.
    """
    app = OrchestratorApp(config, log, prepare)
    app.Table("task-state", key_type=bytes, value_type=bytes)
    for topic, name in ((app.names.task_requests, "intake"), (app.names.commands, "engine")):
        source = app.topic(
            topic, key_type=bytes, value_type=bytes, internal=True, acks=False, allow_empty=True
        )
        app.agent(source, name=name)(_feed(app))
    return app


def _feed(app: OrchestratorApp) -> Any:
    """An agent's body: batches into lanes, in order, nothing acknowledged through Faust."""

    async def feed(stream: Any) -> None:
        async for event in stream.noack().events():
            try:
                await app.host.process(event.message.topic, event.message.partition, event.value)
            except asyncio.CancelledError:
                raise
            except Exception as error:
                app.end_process(error)

    return feed


def __getattr__(name: str) -> Any:
    """`app`, made when it is first asked for: importing this module reads no settings and connects nowhere."""
    if name != "app":
        raise AttributeError(name)
    settings = load_settings()
    use_configured_registry(settings)
    made = globals()["app"] = create_app(
        orchestrator_config(settings), configured_log(settings), partial(assert_topics, settings=settings)
    )
    return made
