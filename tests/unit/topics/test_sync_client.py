"""The blocking client gives what the other gives, from plain code and from several threads."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from tasker_kafka.schemas.errors import ConfigurationError, RequestRejected, WaitTimeout
from tasker_kafka.schemas.plan import Plan
from tasker_kafka.topics import provision
from tasker_kafka.topics.client import TaskClient
from tasker_kafka.topics.declarations import TopicPlan, declarations
from tasker_kafka.topics.handle import TaskHandle
from tasker_kafka.topics.memory import MemoryCluster, MemoryLog
from tasker_kafka.topics.names import TopicNames
from tasker_kafka.topics.plans import publish
from tasker_kafka.topics.sync_client import SyncTaskClient, SyncTaskHandle

NAMES = TopicNames("shop")


class PreparedClient(TaskClient):
    """Makes its topics and template first, on the loop that it lives on."""

    async def start(self) -> None:
        await provision.create(self._log.admin(), declarations(NAMES, TopicPlan(partitions=1)))
        await publish(self._log, NAMES, [Plan("shop", "checkout", "1.0.0", ())])
        await super().start()


def make() -> TaskClient:
    return PreparedClient(MemoryLog(MemoryCluster()), NAMES)


def test_calls_answer_and_fail_as_the_other_client_s() -> None:
    with SyncTaskClient(make) as client:
        handle = client.submit("checkout", {"a": 1}, namespace="shop")
        assert handle.status().state is None
        with pytest.raises(WaitTimeout):
            handle.result(0.01)
        with pytest.raises(RequestRejected):
            client.submit("other", namespace="shop")
        assert client.cancel(handle, wait=False) is None
        assert handle.id in repr(handle)
    assert not [each for each in threading.enumerate() if each.name == "tasker-client"]


def test_several_threads_share_one_client() -> None:
    with SyncTaskClient(make) as client, ThreadPoolExecutor(4) as pool:
        handles = list(
            pool.map(lambda number: client.submit("checkout", {"n": number}, namespace="shop"), range(20))
        )
        assert len({each.task_id for each in handles}) == 20


def test_not_started_and_closed_clients_say_so() -> None:
    client = SyncTaskClient(make)
    for _ in range(2):
        with pytest.raises(ConfigurationError, match="not started"):
            client.submit("checkout")
        client.start()
        client.close()
        client.close()


def test_a_failed_start_leaves_no_thread() -> None:
    def refuse() -> TaskClient:
        raise ConfigurationError("no broker is given")

    with pytest.raises(ConfigurationError):
        SyncTaskClient(refuse).start()
    assert not [each for each in threading.enumerate() if each.name == "tasker-client"]


@pytest.mark.parametrize(("blocking", "other"), [(SyncTaskClient, TaskClient), (SyncTaskHandle, TaskHandle)])
def test_every_call_has_its_twin(blocking: type, other: type) -> None:
    without = {"command", "send", "task_id_for"}
    names = {name for name in dir(other) if not name.startswith("_") and name not in without}
    assert {name for name in dir(blocking) if not name.startswith("_")} == names
