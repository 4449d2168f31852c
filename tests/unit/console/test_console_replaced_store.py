"""A store whose file was removed is not read any more, though its connections would go on."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

from tasker_kafka.deploy.console.backend.reach import Reach
from tasker_kafka.streams.projection import Store
from tasker_kafka.topics.names import TopicNames

if TYPE_CHECKING:
    from tasker_kafka.deploy.console.backend.broker import Broker


async def test_a_file_that_was_removed_and_made_anew_is_opened_anew(tmp_path: Path) -> None:
    place = tmp_path / "store" / "projection.sqlite"
    first = Store.open(place, prefix="tasker", create=True)
    broker = cast("Broker", SimpleNamespace(live=None))
    reach = Reach(broker, lambda: Store.open(place, prefix="tasker"), TopicNames(), lambda: 0)
    try:
        await reach._look()
        assert (await reach.read(lambda reads: reads.meta()))["store_id"] == first.store_id
        for each in list(place.parent.iterdir()):
            each.unlink()
        await reach._look()
        assert not reach.store.is_readable
        second = Store.open(place, prefix="tasker", create=True)
        second.close()
        assert second.store_id != first.store_id
        assert (first.is_gone(), second.is_gone()) == (True, False)
        await reach._look()
        assert (await reach.read(lambda reads: reads.meta()))["store_id"] == second.store_id
    finally:
        await reach._close()
        first.close()
