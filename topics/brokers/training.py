"""Training the AOT cache: run a broker once under the recording flags, stop it, keep what it wrote."""

from __future__ import annotations

import tempfile
from pathlib import Path

from tasker_kafka.topics.brokers import aot
from tasker_kafka.topics.brokers.errors import BrokerNotStarted
from tasker_kafka.topics.brokers.files import file_lock, write_whole
from tasker_kafka.topics.brokers.process import BrokerProcess
from tasker_kafka.topics.brokers.properties import NodeProperties
from tasker_kafka.topics.brokers.runtime import JvmOptions, Runtime
from tasker_kafka.topics.brokers.wire import free_port

__all__ = ["train"]

# Patient: in the idle class it may wait long for the processor.
TRAINING_SETTINGS = {"broker.session.timeout.ms": "60000", "broker.heartbeat.interval.ms": "2000"}
START_TIMEOUT_SECONDS = 300
STOP_TIMEOUT_SECONDS = 300


def train(runtime: Runtime, *, again: bool = False) -> Path | None:
    """Make the AOT cache of `runtime` and give its path; None where there is none or another process is at it."""
    cache = runtime.aot_cache
    if cache is None:
        return None
    with file_lock(cache.with_suffix(".lock"), wait=again) as is_ours:
        if not is_ours or (cache.is_file() and not again):
            return cache if cache.is_file() else None
        try:
            record(runtime, cache)
        except BrokerNotStarted as error:
            write_whole(cache.with_suffix(".failed"), str(error).encode())
            raise
    aot.remove_old(cache)
    return cache


def record(runtime: Runtime, cache: Path) -> None:
    """One broker from start to stop; its cache takes its name only when it is whole."""
    with tempfile.TemporaryDirectory(prefix="tasker-train-") as scratch:
        home = Path(scratch)
        node = NodeProperties(
            home=home, port=free_port(), controller_port=free_port(), settings=TRAINING_SETTINGS
        )
        runtime.format(node)
        target = cache.with_suffix(".part")
        target.unlink(missing_ok=True)
        command = runtime.server_command(node, JvmOptions(), aot_flags=aot.training_flags(target))
        process = BrokerProcess(command, home / "broker.log", remove_on_death=home)
        process.wait_ready(node.port, nodes=1, timeout_seconds=START_TIMEOUT_SECONDS)
        process.terminate(timeout_seconds=STOP_TIMEOUT_SECONDS)
        if not target.is_file():
            raise BrokerNotStarted(f"The JVM wrote no AOT cache:\n{process.log_tail()}")
        target.replace(cache)
