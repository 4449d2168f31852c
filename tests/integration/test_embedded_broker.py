"""The embedded broker as a process: what it keeps, what it survives, and that it never outlives its parent."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from threading import Thread

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from tasker_kafka.topics.brokers import (
    BrokerNotStarted,
    EmbeddedBroker,
    EmbeddedCluster,
    start_detached,
    status_detached,
    stop_detached,
)
from tasker_kafka.topics.brokers.jars import JarLock
from tasker_kafka.topics.brokers.runtime import Runtime
from tasker_kafka.topics.brokers.training import train
from tasker_kafka.topics.brokers.wire import answering_nodes
from tests.support.brokers import OwnBroker
from tests.support.patience import wait_until


async def create_topic(bootstrap: str, topic: str, **parameters: int) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        defaults = {"num_partitions": 1, "replication_factor": 1}
        await admin.create_topics([NewTopic(topic, **(defaults | parameters))])
    finally:
        await admin.close()


async def leader_of(bootstrap: str, topic: str) -> int:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        (described,) = await admin.describe_topics([topic])
        return int(described["partitions"][0]["leader"])
    finally:
        await admin.close()


async def produce(bootstrap: str, topic: str, values: list[bytes]) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, enable_idempotence=True)
    await producer.start()
    try:
        for value in values:
            await producer.send_and_wait(topic, value, partition=0)
    finally:
        await producer.stop()


async def read_all(bootstrap: str, topic: str) -> list[bytes]:
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, auto_offset_reset="earliest")
    await consumer.start()
    try:
        partition = TopicPartition(topic, 0)
        consumer.assign([partition])
        (end,) = (await consumer.end_offsets([partition])).values()
        return [record.value or b"" async for record in until(consumer, end)]
    finally:
        await consumer.stop()


async def until(consumer: AIOKafkaConsumer, end: int):  # type: ignore[no-untyped-def]  # aiokafka has no types
    position = 0
    while position < end:
        record = await consumer.getone()
        position = record.offset + 1
        yield record


def is_alive(pid: int) -> bool:
    """Whether the process exists and is no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache folder of the test's own, with the jars linked from the user's so that nothing is fetched."""
    Runtime.prepare()
    source = JarLock.committed().folder
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("TASKER_BROKER_AOT", "0")  # no training in the background
    target = JarLock.committed().folder
    (target / "jars").mkdir(parents=True)
    for jar in (source / "jars").iterdir():
        os.link(jar, target / "jars" / jar.name)
    return tmp_path / "cache"


async def test_what_was_acknowledged_survives_kill_and_restart(own_broker: OwnBroker) -> None:
    broker = own_broker()
    await create_topic(broker.bootstrap_servers, "t")
    await produce(broker.bootstrap_servers, "t", [b"one", b"two"])
    address = broker.bootstrap_servers
    broker.kill()
    assert not broker.is_running
    assert answering_nodes("127.0.0.1", broker.port) == frozenset()
    broker.restart()
    await produce(broker.bootstrap_servers, "t", [b"three"])
    assert broker.bootstrap_servers == address
    assert await read_all(address, "t") == [b"one", b"two", b"three"]


async def test_restart_takes_new_settings_and_keeps_the_data(own_broker: OwnBroker) -> None:
    broker = own_broker(settings={"log.retention.hours": "1"})
    await create_topic(broker.bootstrap_servers, "t")
    await produce(broker.bootstrap_servers, "t", [b"one"])
    broker.restart(settings={"message.max.bytes": "2000000"})
    written = (broker.data_dir / "server.properties").read_text().splitlines()
    assert "log.retention.hours=1" in written
    assert "message.max.bytes=2000000" in written
    assert await read_all(broker.bootstrap_servers, "t") == [b"one"]


def test_a_paused_broker_is_silent_and_answers_again(own_broker: OwnBroker) -> None:
    broker = own_broker()
    broker.pause()
    assert broker.is_running
    assert answering_nodes("127.0.0.1", broker.port, timeout_seconds=0.3) == frozenset()
    broker.resume()
    wait_until(lambda: answering_nodes("127.0.0.1", broker.port) == {1}, "an answer after resume")


def test_a_paused_broker_can_be_stopped(own_broker: OwnBroker) -> None:
    broker = own_broker()
    broker.pause()
    broker.stop()
    assert not broker.is_running
    assert not broker.data_dir.exists()


async def test_a_given_data_folder_outlives_the_broker(own_broker: OwnBroker, tmp_path: Path) -> None:
    first = own_broker(data_dir=tmp_path / "broker")
    await create_topic(first.bootstrap_servers, "t")
    await produce(first.bootstrap_servers, "t", [b"kept"])
    first.stop()
    second = own_broker(data_dir=tmp_path / "broker")
    assert await read_all(second.bootstrap_servers, "t") == [b"kept"]


async def test_a_further_listener_with_passwords(own_broker: OwnBroker) -> None:
    """Users are added by the format tool; the plain listener stays for the test itself."""
    broker = own_broker(
        listeners={"USERS": "SASL_PLAINTEXT"},
        settings={
            "listener.name.users.sasl.enabled.mechanisms": "SCRAM-SHA-256",
            "listener.name.users.scram-sha-256.sasl.jaas.config": (
                "org.apache.kafka.common.security.scram.ScramLoginModule required;"
            ),
        },
        format_arguments=["--add-scram", "SCRAM-SHA-256=[name=alice,password=secret]"],
    )
    consumer = AIOKafkaConsumer(
        bootstrap_servers=broker.listener_address("USERS"),
        security_protocol="SASL_PLAINTEXT",
        sasl_mechanism="SCRAM-SHA-256",
        sasl_plain_username="alice",
        sasl_plain_password="secret",
    )
    await consumer.start()
    assert await consumer.topics() == set()
    await consumer.stop()


def test_a_taken_port_is_named(own_broker: OwnBroker) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(BrokerNotStarted, match=f"Port {port} on 127.0.0.1 is taken"):
            own_broker(port=port)


def test_a_broker_that_does_not_start_shows_its_log(own_broker: OwnBroker, tmp_path: Path) -> None:
    with pytest.raises(
        BrokerNotStarted, match=r"ended while it was starting.*broker\.log ends with"
    ) as caught:
        own_broker(data_dir=tmp_path / "broker", settings={"num.network.threads": "none"})
    assert "num.network.threads" in str(caught.value)


def test_two_brokers_cannot_share_a_data_folder(own_broker: OwnBroker, tmp_path: Path) -> None:
    own_broker(data_dir=tmp_path / "broker")
    with pytest.raises(BrokerNotStarted, match="lock"):
        own_broker(data_dir=tmp_path / "broker")


PARENT = """
import os, sys, time
from tasker_kafka.topics.brokers import EmbeddedBroker
broker = EmbeddedBroker.start()
if "fork" in sys.argv and os.fork() == 0:
    time.sleep(60)
print(broker.pid, broker.data_dir, flush=True)
time.sleep(60)
"""


@pytest.mark.parametrize("mode", ["plain", "fork"])
def test_a_killed_parent_takes_its_broker_and_temporary_folder_along(mode: str) -> None:
    """Also when a forked child of the parent lives on and holds copies of the parent's files."""
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, mode], stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    assert parent.stdout is not None
    pid, folder = parent.stdout.readline().split()
    assert is_alive(int(pid))
    parent.kill()
    parent.wait()
    wait_until(lambda: not is_alive(int(pid)), "the broker's end")
    wait_until(lambda: not Path(folder).exists(), "the folder's end")
    parent.stdout.close()
    if mode == "fork":
        os.killpg(parent.pid, signal.SIGKILL)


def test_a_broker_survives_the_thread_that_started_it(own_broker: OwnBroker) -> None:
    started: list[EmbeddedBroker] = []
    thread = Thread(target=lambda: started.append(own_broker()))
    thread.start()
    thread.join()
    time.sleep(0.3)  # a death signal bound to the thread would have come by now
    assert answering_nodes("127.0.0.1", started[0].port) == {1}


DETACHED = "from tasker_kafka.topics.brokers import start_detached; print(start_detached().pid)"


def start_detached_elsewhere() -> int:
    """In a process that ends at once."""
    ended = subprocess.run([sys.executable, "-c", DETACHED], stdout=subprocess.PIPE, text=True, check=True)
    return int(ended.stdout)


async def test_a_detached_broker_stays_and_is_found_again(own_cache: Path) -> None:
    assert status_detached() is None
    pid = await asyncio.to_thread(start_detached_elsewhere)
    broker = status_detached()
    try:
        assert broker is not None
        assert broker.pid == pid
        assert start_detached() == broker
        await create_topic(broker.bootstrap_servers, "t")
        await produce(broker.bootstrap_servers, "t", [b"kept"])
        assert stop_detached() == broker
        # A process that has given up its memory is not running any more, but not yet gone.
        wait_until(lambda: not is_alive(pid), "the process to be gone")
        assert status_detached() is None
        assert stop_detached() is None
        again = start_detached()
        assert await read_all(again.bootstrap_servers, "t") == [b"kept"]
    finally:
        stop_detached()


def test_a_stale_state_file_harms_nobody(own_cache: Path) -> None:
    """The process id in it may belong to another program by now."""
    broker = start_detached()
    os.kill(broker.pid, signal.SIGKILL)
    wait_until(lambda: not broker.is_running, "the broker's end")
    assert status_detached() is None
    with subprocess.Popen(["sleep", "60"]) as bystander:
        state = own_cache / "tasker-kafka" / "broker" / "state.json"
        state.write_text(state.read_text().replace(str(broker.pid), str(bystander.pid)))
        assert status_detached() is None
        assert stop_detached() is None
        assert bystander.poll() is None
        bystander.kill()


@pytest.mark.slow
def test_the_trained_cache_is_used(
    own_cache: Path, own_broker: OwnBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TASKER_BROKER_AOT")
    runtime = Runtime.prepare()
    cache = train(runtime)
    assert cache is not None
    assert train(runtime) == cache
    own_broker(jvm_flags=["-XX:AOTMode=on"])  # ends the JVM if the cache does not fit


@pytest.mark.slow
async def test_a_cluster_survives_its_leader() -> None:
    with EmbeddedCluster.start() as cluster:
        await create_topic(cluster.bootstrap_servers, "t", replication_factor=3)
        await produce(cluster.bootstrap_servers, "t", [b"one"])
        leader = await leader_of(cluster.bootstrap_servers, "t")
        cluster.kill(leader)
        await produce(cluster.bootstrap_servers, "t", [b"two"])
        assert leader not in cluster.live_nodes()
        cluster.restart(leader)
        assert cluster.live_nodes() == {1, 2, 3}
        assert await read_all(cluster.bootstrap_servers, "t") == [b"one", b"two"]
