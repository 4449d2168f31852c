"""The orchestrator process on a real broker: as Faust starts it, as it stops, and what it refuses."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

from tasker_kafka.schemas.exits import ExitCode
from tasker_kafka.topics.brokers import Broker
from tasker_kafka.topics.log import TopicPartition
from tests.support.patience import PATIENCE_SECONDS
from tests.support.system import PARTITIONS, ROOT, System, chain, running

PLAN = chain(3)


def environment(system: System) -> dict[str, str]:
    return os.environ | {
        "TASKER_BROKER": system.bootstrap,
        "TASKER_PREFIX": system.prefix,
        "PYTHONPATH": str(ROOT),
    }


def start_faust(system: System, folder: Path) -> subprocess.Popen[bytes]:
    """The orchestrator by Faust's own command."""
    arguments = ["-m", "faust", "-A", "tasker_kafka.streams.runtime.app", "worker", "-l", "warn"]
    process = subprocess.Popen([sys.executable, *arguments], env=environment(system), cwd=folder)
    system.roles["faust"] = process
    return process


async def test_faust_starts_it(kafka: Broker, prefix: str, tmp_path: Path) -> None:
    async with running(kafka.bootstrap_servers, prefix, tmp_path, [PLAN], orchestrators=0) as system:
        process = start_faust(system, tmp_path)
        await system.wait_closed(await system.submit(PLAN, 20))
        process.terminate()
        assert await asyncio.to_thread(process.wait, PATIENCE_SECONDS) == 0


async def test_the_signal_of_fausts_debugger_stops_nothing(
    kafka: Broker, prefix: str, tmp_path: Path
) -> None:
    async with running(kafka.bootstrap_servers, prefix, tmp_path, [PLAN]) as system:
        await system.wait_closed(await system.submit(PLAN, 1))
        system.roles["orchestrator-0"].send_signal(signal.SIGUSR2)
        await system.wait_closed(await system.submit(PLAN, 5))
        assert "SIGUSR2 does nothing here" in (tmp_path / "orchestrator-0.log").read_text()


async def test_clean_stop_leaves_nothing_to_replay(kafka: Broker, prefix: str, tmp_path: Path) -> None:
    async with running(kafka.bootstrap_servers, prefix, tmp_path, [PLAN]) as system:
        await system.wait_closed(await system.submit(PLAN, 50))
        system.roles["orchestrator-0"].terminate()
        assert await asyncio.to_thread(system.roles["orchestrator-0"].wait, PATIENCE_SECONDS) == ExitCode.OK
        committed = await system.log.admin().group_offsets(f"{prefix}-engine")
        for number in range(PARTITIONS):
            for topic in (system.names.commands, system.names.task_requests):
                partition = TopicPartition(topic, number)
                end = await system.log.end_offset(partition)
                if end:
                    assert committed[partition].offset == end, partition


async def test_second_orchestrator_shares_and_takes_over(kafka: Broker, prefix: str, tmp_path: Path) -> None:
    async with running(kafka.bootstrap_servers, prefix, tmp_path, [PLAN]) as system:
        await system.wait_closed(await system.submit(PLAN, 10))
        system.start_orchestrator(1)
        await system.wait_closed(await system.submit(PLAN, 10))
        system.roles["orchestrator-0"].terminate()
        assert await asyncio.to_thread(system.roles["orchestrator-0"].wait, PATIENCE_SECONDS) == ExitCode.OK
        await system.wait_closed(await system.submit(PLAN, 10))
        system.kill("orchestrator-1")
        system.restart("orchestrator-1")
        await system.wait_closed(await system.submit(PLAN, 10))


async def test_same_ordinal_twice_is_refused(kafka: Broker, prefix: str, tmp_path: Path) -> None:
    async with running(kafka.bootstrap_servers, prefix, tmp_path, [PLAN]) as system:
        await system.wait_closed(await system.submit(PLAN, 1))
        second = await asyncio.to_thread(
            subprocess.run,
            [sys.executable, "-m", "tasker_kafka.deploy.cli", "orchestrator", "--ordinal", "0"],
            env=environment(system),
            capture_output=True,
            text=True,
            timeout=PATIENCE_SECONDS,
            check=False,
        )
        assert second.returncode == ExitCode.CONFIGURATION
        assert "ordinal 0 is held" in second.stderr
        assert "choose another --ordinal" in second.stderr


async def test_missing_topic_is_refused(kafka: Broker, prefix: str, tmp_path: Path) -> None:
    async with running(
        kafka.bootstrap_servers, prefix, tmp_path, [PLAN], orchestrators=0, workers=0
    ) as system:
        await system.log.admin().delete([system.names.control])
        name = system.start_orchestrator(0)
        assert await asyncio.to_thread(system.roles[name].wait, PATIENCE_SECONDS) == ExitCode.CONFIGURATION
        assert system.names.control in system.errors_of(name)
        assert "tasker topics verify" in system.errors_of(name)
