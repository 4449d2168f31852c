"""A process dies at the passing it was told, having said so; defects lose what they should."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from tasker_kafka.topics.log import TopicDescription, TopicPartition, Write
from tasker_kafka.topics.memory import MemoryLog
from tasker_kafka.topics.names import TopicNames
from tests.checker import read_ledger
from tests.faults.fleet import python_path
from tests.faults.injection import CRASH, CRASH_POINT_FAULT, LEDGER, have_defect

PASSES = """
import sys
from pathlib import Path
from tasker_kafka.streams.lane import CrashPoint
from tests.checker import LedgerWriter
from tests.faults.injection import DieAt

told = DieAt.told(LedgerWriter(Path(sys.argv[1]), "injector"))
for turn in range(5):
    told.reached(CrashPoint.DECIDED)
    told.reached(CrashPoint.OUTPUTS_SENT)
    print(turn, flush=True)
"""


def run(folder: Path, **told: str) -> subprocess.CompletedProcess[str]:
    """Pass two points five times."""
    environment = {**os.environ, "PYTHONPATH": python_path(), LEDGER: str(folder), **told}
    command = [sys.executable, "-c", PASSES, str(folder)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def test_it_dies_at_the_third_passing(tmp_path: Path) -> None:
    done = run(tmp_path, **{CRASH: "process.outputs_sent:3"})
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert done.stdout.split() == ["0", "1"]
    (said,) = read_ledger(tmp_path).faults
    assert said.fault == CRASH_POINT_FAULT
    assert (said.detail["point"], said.detail["nth"]) == ("process.outputs_sent", 3)


def test_without_a_word_it_lives(tmp_path: Path) -> None:
    assert run(tmp_path).returncode == 0
    assert read_ledger(tmp_path).faults == []


async def test_a_defect_loses_every_200th_dispatch() -> None:
    log, names = MemoryLog(), TopicNames("t")
    await log.start()
    queue = names.steps("default")
    await log.admin().create([TopicDescription(queue, 1, 1, {}), TopicDescription(names.commands, 1, 1, {})])
    have_defect(log, names, "lost_dispatch")
    outbox = await log.outbox(client_id="x")
    await outbox.warm([queue, names.commands])
    for topic in (queue, names.commands):
        for _ in range(400):
            outbox.send(Write(topic, b"k", b"v"))
    await outbox.flush()
    ends = [await log.end_offset(TopicPartition(topic, 0)) for topic in (queue, names.commands)]
    await log.close()
    assert ends == [398, 400]
