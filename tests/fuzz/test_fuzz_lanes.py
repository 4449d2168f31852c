"""Bad records of fixed seeds through the lanes: nothing stops, nothing is lost, good tasks do not notice.

The long run is `PYTHONPATH=. python -m tests.fuzz --count 100000`.
"""

from __future__ import annotations

from random import Random

import pytest

from tasker_kafka.deploy.reading import jsonable, list_rejections, list_tasks, read_rejection, read_report
from tasker_kafka.deploy.reading.heads import TaskFilter
from tasker_kafka.schemas.codec import codec
from tasker_kafka.schemas.errors import DecodeError, NotFoundError, PlanUnknown
from tasker_kafka.schemas.records import Command, TaskRequest
from tasker_kafka.topics.memory import run_virtual
from tasker_kafka.topics.plans import PlanStore

from .noise import CLASSES, make
from .report import table
from .run import fuzz
from .samples import Material
from .scene import Scene

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("seed", [1, 2])
def test_bad_records_stop_nothing(seed: int) -> None:
    report = fuzz(seed, 1_500)
    assert not report.faults, table(report)
    assert report.noise >= 1_500
    assert report.takeovers
    seen = {kind for kind, _ in report.accounts.outcomes}
    assert seen >= set(CLASSES)


def test_huge_fields_stop_nothing() -> None:
    report = fuzz(3, 60, per_round=30, only="huge")
    assert not report.faults, table(report)


def test_a_seed_is_a_run() -> None:
    one, other = (fuzz(7, 200).accounts.outcomes for _ in range(2))
    assert one == other


def test_what_noise_has_left_can_be_read() -> None:
    """Lists and reports of whatever became a task, and of every rejection."""
    run_virtual(everything_is_readable())


async def everything_is_readable() -> None:
    scene = await Scene(5, noise=200).open()
    for _ in range(4):
        await scene.round()
    await scene.finish()
    log, names = scene.world.log, scene.world.names
    plans = PlanStore(log, names)
    await plans.start()
    rows = await list_tasks(log, names, plans.get, TaskFilter())
    assert len(rows) > 100
    for row in rows[::3]:
        try:
            report, _ = await read_report(log, names, plans, row.task_id)
        except (NotFoundError, PlanUnknown):
            continue
        assert jsonable(report)
    for rejection in (await list_rejections(log, names, limit=1000, code=None))[::7]:
        assert jsonable(await read_rejection(log, names, rejection.place, raw=True))
    await plans.stop()
    await scene.close()


def test_mutations_reach_the_rules() -> None:
    """Noise that only fails to decode would test the decoder alone."""
    material = Material()
    material.victims.extend(Random(1).randbytes(16) for _ in range(20))
    rng = Random(4)
    for only, kind in (("request: fields", TaskRequest), ("command: fields", Command)):
        decoded = 0
        for _ in range(200):
            try:
                codec.decode(make(rng, material, only).value, kind)
            except DecodeError:
                continue
            decoded += 1
        assert decoded > 150
