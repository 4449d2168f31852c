"""Damaged dispatches, cancellations and frames never stop a step worker."""

from __future__ import annotations

import pytest

from tasker_kafka.schemas.errors import SchemaUnknown
from tasker_kafka.topics.log import Write
from tests.contract.worker_rig import Rig
from tests.contract.worker_sides import memory_side, play

from .worker import disturb, one

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_bad_dispatches_stop_no_worker(seed: int) -> None:
    found: list[tuple[int, int]] = []

    async def scenario(made: Rig) -> None:
        found.append(await disturb(made, seed, 300))

    play(memory_side(f"fuzz{seed}"), scenario)
    [(decodable, good)] = found
    assert decodable > 100
    assert good == 30


NEWER = b"\xc3\x01" + bytes(range(8)) + b"whatever follows"


def test_a_schema_that_nobody_published_is_left_out() -> None:
    async def scenario(made: Rig) -> None:
        await made.work(one)
        await made.send_raw(b"k", NEWER)
        await made.dispatch(1)
        assert (await made.result(1)).result == b'{"attempt":1}'
        await made.wait_committed(2)

    play(memory_side("unpublished"), scenario)


def test_a_dispatch_of_a_newer_release_ends_the_worker() -> None:
    async def scenario(made: Rig) -> None:
        outbox = await made.log.outbox(client_id="newer")
        await outbox.write(Write(made.names.schemas, NEWER[2:10], b'{"type": "record"}'))
        running = await made.work(one)
        await made.send_raw(b"k", NEWER)
        with pytest.raises(SchemaUnknown):
            await running.task
        running.is_over = True
        assert 0 not in await made.committed() or (await made.committed())[0].offset == 0

    play(memory_side("newer"), scenario)
