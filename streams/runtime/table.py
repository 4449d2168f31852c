"""The Faust table of task states, whose store is the lanes.

Faust replays a changelog through its consumer, record by record, and never ends when the changelog ends in a
transaction marker. So the store acquires the partitions itself (`LaneHost.acquire` loads the changelog with a
read_committed reader) and tells Faust that there is nothing left to recover.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar, Protocol, cast

from faust.stores.base import Store
from faust.tables.manager import TableManager
from faust.tables.recovery import Recovery
from faust.tables.table import Table
from faust.types import TP, AppT, EventT

from tasker_kafka.topics.names import TopicNames

__all__ = ["LaneStore", "LaneTable", "LaneTableManager", "TableOwner"]


class TableOwner(Protocol):
    """What the table needs of the app whose table it is."""

    names: TopicNames
    changelog_ends: dict[int, int]
    """Partition → the last offset of its changelog, as it was when it was acquired."""

    async def acquire(self, partitions: set[int], requests: set[int]) -> None:
        """Become the owner of these partitions; `requests`: those of the requests topic."""
        ...

    def open_flow(self) -> None:
        """Recovery is done: batches may be delivered."""
        ...


class LaneStore(Store[bytes, bytes]):
    """Acquires lanes on assignment. Its contents are read through `LaneHost`, never through the mapping."""

    def persisted_offset(self, tp: TP) -> int | None:
        """The changelog is loaded to its end: nothing is left for Faust to recover."""
        return _owner(self.app).changelog_ends.get(tp.partition)

    def set_persisted_offset(self, tp: TP, offset: int) -> None:
        """Nothing: the checkpoint record is the only position."""

    async def need_active_standby_for(self, tp: TP) -> bool:
        """No standbys."""
        return False

    async def on_rebalance(
        self, assigned: set[TP], revoked: set[TP], newly_assigned: set[TP], generation_id: int = 0
    ) -> None:
        """Acquire everything assigned: `newly_assigned` omits partitions lost and regained in between."""
        owner = _owner(self.app)
        await owner.acquire(
            {tp.partition for tp in assigned if tp.topic == owner.names.commands},
            {tp.partition for tp in assigned if tp.topic == owner.names.task_requests},
        )

    async def on_recovery_completed(self, active_tps: set[TP], standby_tps: set[TP]) -> None:
        """Nothing: the lanes are live already."""

    def apply_changelog_batch(self, batch: Iterable[EventT[Any]], to_key: Any, to_value: Any) -> None:
        """Nothing: changelog records that Faust has prefetched are in the lanes already."""

    def reset_state(self) -> None:
        """Nothing to reset."""

    async def backup_partition(self, *args: Any, **kwargs: Any) -> None:
        """Not for a store without files."""
        raise NotImplementedError("the changelog topic is the backup")

    def restore_backup(self, *args: Any, **kwargs: Any) -> None:
        """Not for a store without files."""
        raise NotImplementedError("the changelog topic is the backup")

    def __getitem__(self, key: bytes) -> bytes:
        raise KeyError(key)

    def __setitem__(self, key: bytes, value: bytes) -> None:
        raise TypeError("task states change by commands only")

    def __delitem__(self, key: bytes) -> None:
        raise TypeError("task states change by commands only")

    def __iter__(self) -> Any:
        return iter(())

    def __len__(self) -> int:
        return 0

    def clear(self) -> None:
        """Nothing to clear."""


class LaneTable(Table[bytes, bytes]):
    """The table `task-state`: declares the changelog to Faust's assignor, so that partitions stay together."""

    def _new_store(self) -> Any:
        return LaneStore("lane://", self.app, self, table_name=self.name, loop=self.loop)

    def _changelog_topic_name(self) -> str:
        return _owner(self.app).names.task_state


class LoadedRecovery(Recovery):
    """Faust's recovery, which never has anything to recover."""

    def need_recovery(self) -> bool:
        """False: the store loads itself."""
        return False

    async def on_recovery_completed(self, generation_id: int = 0) -> None:
        """As Faust's, then let the consumer deliver: Faust empties the agents' queues when it resumes the flow."""
        await super().on_recovery_completed(generation_id)
        _owner(self.app).open_flow()


class LaneTableManager(TableManager):
    """Starts without Faust's pause of a second."""

    recovery_class: ClassVar[type[Recovery]] = LoadedRecovery

    @property
    def recovery(self) -> Recovery:
        """The recovery service."""
        if self._recovery is None:
            self._recovery = self.recovery_class(self.app, self, beacon=self.beacon, loop=self.loop)
        return self._recovery

    async def on_start(self) -> None:
        """As Faust's, without the sleep."""
        if not self.should_stop:
            await self._update_channels()
            await self.recovery.start()


def _owner(app: AppT) -> TableOwner:
    return cast("TableOwner", app)
