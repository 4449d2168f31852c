"""Whatever process is lost, all that was submitted is closed, and the rest goes on. How soon: `recovery_figures`."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tasker_kafka.schemas.exits import ExitCode
from tasker_kafka.schemas.template import Retry
from tasker_kafka.topics.brokers import Broker
from tests.support.brokers import OwnBroker
from tests.support.system import PARTITIONS, System, chain, running

from .recovery_runs import RUNS, WORKER_SESSION_SECONDS
from .recovery_scenes import one_step, opened, starts_of
from .recovery_watch import watching

OUTAGE_SECONDS = 20.0

pytestmark = pytest.mark.timeout(600)


@pytest.mark.campaign
@pytest.mark.parametrize("name", [name for name in RUNS if name != "dying_apart"])
async def test_what_is_lost_is_taken_over(
    kafka: Broker, prefix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv("TASKER_WORKER__SESSION_TIMEOUT_MS", str(round(1000 * WORKER_SESSION_SECONDS)))
    figures = await RUNS[name](kafka.bootstrap_servers, prefix, tmp_path)
    print(figures)


async def test_loading_may_last_longer_than_the_session(
    kafka: Broker, prefix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(System, "entry_point", "tests.faults.recovery_slow_role")
    plan = chain(2)
    async with (
        running(kafka.bootstrap_servers, prefix, tmp_path, [plan]) as system,
        watching(system) as watch,
    ):
        await watch.until_closed(set(await system.submit(plan, 10)))
        assert list(watch.taken.values()) == [1] * PARTITIONS


async def test_roles_stop_in_time_though_the_broker_is_gone(
    own_broker: OwnBroker, prefix: str, tmp_path: Path
) -> None:
    broker, plan = own_broker(), chain(2)
    async with running(broker.bootstrap_servers, prefix, tmp_path, [plan]) as system:
        await system.wait_closed(await system.submit(plan, 10))
        await asyncio.to_thread(broker.kill)
        for process in system.roles.values():
            process.terminate()
        codes = {name: await asyncio.to_thread(role.wait, 60) for name, role in system.roles.items()}
        assert codes == {"orchestrator-0": ExitCode.BROKER, "worker-0": 0}, system.errors_of("orchestrator-0")
        assert "not stopped in order within 5 s" in system.errors_of("orchestrator-0")


@pytest.mark.campaign
async def test_twenty_seconds_without_a_broker(own_broker: OwnBroker, prefix: str, tmp_path: Path) -> None:
    broker, ledger = own_broker(), tmp_path / "ledger"
    watched = one_step(
        "watched",
        ledger,
        config={"seconds": 2 * OUTAGE_SECONDS},
        retry=Retry(max_attempts=1),
        heartbeat_timeout_seconds=OUTAGE_SECONDS / 4,
    )
    short = one_step("short", ledger, retry=Retry(max_attempts=1))
    async with opened(broker.bootstrap_servers, prefix, tmp_path, [watched, short]) as scene:
        worker = scene.start_worker(0)
        await scene.submit(watched, 3)
        await scene.started(3)
        await asyncio.sleep(3)  # longer than it takes to report that they run
        await scene.submit(short, 50)
        async with scene.supervised("orchestrator-0", worker):
            await asyncio.to_thread(broker.kill)
            await asyncio.sleep(OUTAGE_SECONDS)
            await asyncio.to_thread(broker.restart)
            await scene.submit(short, 50)
            await scene.all_closed()
        starts = starts_of(ledger)
        assert len(starts) == 103, "an attempt was burned"
        assert sum(starts.values()) - len(starts) <= 50
