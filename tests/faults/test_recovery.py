"""Whatever process is lost, all that was submitted is closed, and the rest goes on. How soon: `recovery_figures`."""

from __future__ import annotations

from pathlib import Path

import pytest

from tasker_kafka.topics.brokers import Broker
from tests.support.system import PARTITIONS, System, chain, running

from .recovery_runs import RUNS, WORKER_SESSION_SECONDS
from .recovery_watch import watching

pytestmark = pytest.mark.timeout(240)


@pytest.mark.parametrize("name", RUNS)
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
