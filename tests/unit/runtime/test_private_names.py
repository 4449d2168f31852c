"""Every private name of Faust, mode and aiokafka that the runtime touches, so that an upgrade fails here first.

The test below also reads the runtime's source: a private name used there but not listed here fails it.
"""

import ast
import importlib.metadata
import inspect
import re
from pathlib import Path
from typing import Any

import aiokafka
import pytest
from aiokafka.consumer.group_coordinator import GroupCoordinator
from faust import App, Worker
from faust.tables.base import Collection
from faust.tables.manager import TableManager
from faust.tables.recovery import Recovery
from faust.transport.conductor import Conductor
from faust.transport.consumer import Consumer, Fetcher
from faust.transport.drivers import aiokafka as driver
from mode import Service

RUNTIME = Path(inspect.getfile(importlib.import_module("tasker_kafka.streams.runtime"))).parent

METHODS = {
    driver.AIOKafkaConsumerThread: ["_create_worker_consumer", "_ensure_consumer", "_fetch_records"],
    driver.Consumer: ["_new_consumer_thread"],
    Consumer: ["_drain_messages", "_wait_next_records", "perform_seek", "seek_wait"],
    Fetcher: ["_fetcher"],
    Service: [
        "_default_start",
        "_stopped_set",
        "_stop_children",
        "_stop_futures",
        "_stop_exit_stacks",
        "set_shutdown",
    ],
    Collection: ["_new_store", "_changelog_topic_name"],
    TableManager: ["_update_channels"],
    Recovery: ["need_recovery"],
    App: ["_on_partitions_assigned", "_on_partitions_revoked"],
    Worker: ["_shutdown_loop"],
    GroupCoordinator: ["close", "check_errors", "_maybe_leave_group"],
}
ATTRIBUTES = {
    aiokafka.AIOKafkaConsumer.__init__: [
        "self._fetch_max_wait_ms =",
        "self._isolation_level =",
        "self._coordinator =",
    ],
    GroupCoordinator.__init__: ["self._group_instance_id ="],
    Conductor.__init__: ["self._tp_index ="],
    Consumer.__init__: ["self._read_offset ="],
    TableManager.__init__: ["self._channels ="],
    driver.AIOKafkaConsumerThread.on_start: ["self._consumer ="],
    Service.__init__: ["self._stopped ="],
}
OWN = {
    "_log",
    "_cluster",
    "_ordinal",
    "_lock",
    "_on_revoked",
    "_drain_once",
    "_deliver",
    "_is_open",
    "_is_sought",
    "_wait_for_room",
    "_seeks",
    "_prepare",
    "_message",
    "_exit",
    "_patience_seconds",
    "_deadline",
    "_stop_at_once",
}
INHERITED = {"_thread", "_recovery", "_crashed", "_starting_fut"}


@pytest.mark.parametrize(
    ("owner", "name"), [(owner, name) for owner, names in METHODS.items() for name in names]
)
def test_method_exists(owner: type, name: str) -> None:
    assert callable(getattr(owner, name)), f"{owner.__name__}.{name} is gone: look at what replaced it"


@pytest.mark.parametrize(
    ("function", "line"), [(function, line) for function, lines in ATTRIBUTES.items() for line in lines]
)
def test_attribute_is_assigned(function: Any, line: str) -> None:
    assert line in inspect.getsource(function)


def test_versions_are_those_that_were_read() -> None:
    assert importlib.metadata.version("faust-streaming") == "0.15.3"
    assert importlib.metadata.version("aiokafka").startswith("0.14.")


def test_hard_coded_fetch_wait_is_still_there() -> None:
    source = inspect.getsource(driver.AIOKafkaConsumerThread._create_worker_consumer)
    assert "fetch_max_wait_ms=1500" in source, "Faust has made it a setting: use that and drop our override"


def test_every_private_name_used_is_listed() -> None:
    listed = {name for names in METHODS.values() for name in names} | OWN | INHERITED
    listed |= {
        match
        for lines in ATTRIBUTES.values()
        for line in lines
        for match in re.findall(r"self\.(\w+) =", line)
    }
    unlisted = set()
    for path in RUNTIME.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Attribute) and re.match(r"_[a-z]", node.attr) and node.attr not in listed:
                unlisted.add(f"{path.name}:{node.lineno} {node.attr}")
    assert not unlisted
