"""The pages on events, typed in as they are printed: the quickstart, and a subscriber without any of Tasker's roles."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tasker_kafka.topics.brokers import Broker
from tasker_kafka.topics.kafka import KafkaLog
from tasker_kafka.topics.log import TopicDescription, TopicPartition, Write
from tasker_kafka.topics.names import TopicNames
from tests.support.documents import Block, blocks
from tests.support.patience import PATIENCE_SECONDS
from tests.support.shell import Lines, Shell

SECONDS = PATIENCE_SECONDS
QUICKSTART = blocks("docs/quickstart-events.md")
[PARCELS] = [each for each in blocks("docs/how-to/subscribe-without-tasker.md") if each.file == "parcels.py"]

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]


def lines_of(shown: list[Block]) -> list[str]:
    """The lines of the shell blocks, in order."""
    return [line for block in shown if block.language == "sh" for line in block.text.splitlines()]


def test_the_quickstart(kafka: Broker, prefix: str, tmp_path: Path) -> None:
    for block in QUICKSTART:
        if block.file is not None:
            (tmp_path / block.file).parent.mkdir(exist_ok=True)
            (tmp_path / block.file).write_text(block.text)
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "TASKER_BROKER": kafka.bootstrap_servers,
        "TASKER_PREFIX": prefix,
        "PYTHONUNBUFFERED": "1",
    }
    check, dev, first, second, list_letters, redrive, _, list_groups = lines_of(QUICKSTART)
    assert "payment.*" in run(check, tmp_path, environment)
    with ExitStack() as running:
        system = subprocess.Popen(
            dev.split(),
            cwd=tmp_path,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        running.callback(end, system)
        told = Lines(system)
        told.wait_for("ready: submit")
        run(first, tmp_path, environment)
        told.wait_for("booked 700 cents for ada")
        run(second, tmp_path, environment)
        wait_until(lambda: "adda has no account" in run(list_letters, tmp_path, environment))
        run(redrive, tmp_path, environment)
        told.wait_for("booked 1050 cents for ada")
        assert "ledger" in run(list_groups, tmp_path, environment)
    assert system.returncode == 0


async def test_cloud_events_of_anybody(kafka: Broker, prefix: str, tmp_path: Path) -> None:
    topic = f"{prefix}-orders"
    program = tmp_path / "parcels.py"
    program.write_text(
        PARCELS.text.replace('topics=["orders"]', f'topics=["{topic}"]').replace(
            '"127.0.0.1:9092"', f'"{kafka.bootstrap_servers}", prefix="{prefix}"'
        )
    )
    log = KafkaLog(kafka.bootstrap_servers)
    await log.start()
    try:
        await log.admin().create([TopicDescription(topic, 2, 1, {})])
        outbox = await log.outbox(client_id="anybody")
        await outbox.warm([topic])
        for write in cloud_events(topic):
            await outbox.write(write)
        shell = Shell({})
        with shell.program(sys.executable, str(program), ready="ada com.example.order.paid.late 2"):
            pass
        dead = TopicPartition(TopicNames(prefix).group_dlq("parcels"), 0)
        ends = [await log.end_offset(dead._replace(partition=number)) for number in range(2)]
        assert sum(ends) == 1, "the one that is no CloudEvent, and no other"
    finally:
        await log.close()


def cloud_events(topic: str) -> Iterator[Write]:
    """Two that are meant, in both forms; one record that is none; one event that is not meant."""
    binary = (
        ("ce_specversion", b"1.0"),
        ("ce_id", b"1"),
        ("ce_source", b"/shop"),
        ("ce_type", b"com.example.order.placed"),
        ("content-type", b"application/json"),
    )
    yield Write(topic, b"ada", b'{"number": 1}', binary)
    structured = {
        "specversion": "1.0",
        "id": "2",
        "source": "/shop",
        "type": "com.example.order.paid.late",
        "data": {"number": 2},
    }
    yield Write(topic, b"ada", json.dumps(structured).encode())
    yield Write(topic, b"ada", b"neither")
    yield Write(
        topic, b"ada", json.dumps({**structured, "id": "3", "type": "com.example.parcel.lost"}).encode()
    )


def run(line: str, folder: Path, environment: dict[str, str]) -> str:
    """What a command line prints; it has to succeed."""
    done = subprocess.run(
        line, shell=True, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def wait_until(is_so: Callable[[], bool]) -> None:
    """Ask until it is so."""
    until = time.monotonic() + SECONDS
    while not is_so():
        assert time.monotonic() < until
        select.select([], [], [], 0.2)


def end(process: subprocess.Popen[str]) -> None:
    """Stop it in order."""
    process.terminate()
    process.wait(SECONDS)
