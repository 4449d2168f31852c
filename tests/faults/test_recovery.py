"""Whatever process is lost, all that was submitted is closed, and the rest goes on. How soon: `recovery_figures`."""

from __future__ import annotations

from pathlib import Path

import pytest

from tasker_kafka.topics.brokers import Broker

from .recovery_runs import RUNS, WORKER_SESSION_SECONDS

pytestmark = pytest.mark.timeout(240)


@pytest.mark.parametrize("name", RUNS)
async def test_what_is_lost_is_taken_over(
    kafka: Broker, prefix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv("TASKER_WORKER__SESSION_TIMEOUT_MS", str(round(1000 * WORKER_SESSION_SECONDS)))
    figures = await RUNS[name](kafka.bootstrap_servers, prefix, tmp_path)
    print(figures)
