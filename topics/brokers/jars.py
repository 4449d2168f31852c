"""The jars of the embedded Kafka: fetched once per user, and compared with the lock before every use.

The lock is the only authority. What resolves Maven coordinates does not compare a jar with a lock, so the
comparison is here: after a download before the file gets its name, and again whenever a class path is made.
"""

from __future__ import annotations

import hashlib
import logging
import os
import tomllib
import urllib.request
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from functools import cached_property
from http.client import HTTPException
from pathlib import Path
from urllib.error import HTTPError

from tasker_kafka.topics.brokers.errors import BrokerNotSupported, ChecksumMismatch, DownloadFailed
from tasker_kafka.topics.brokers.files import cache_root, file_lock, write_whole
from tasker_kafka.topics.brokers.mirror import maven_base

__all__ = ["LOCK_PATH", "Artifact", "JarLock", "fetch_jars", "verified_jars"]

LOCK_PATH = Path(__file__).with_name("kafka.lock.toml")
DOWNLOAD_THREADS = 8
DOWNLOAD_TIMEOUT_SECONDS = 20
DOWNLOAD_ATTEMPTS = 2

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Artifact:
    """One jar of the lock: its Maven coordinates and the sha256 (hex) its bytes must have."""

    group: str
    artifact: str
    version: str
    sha256: str

    @property
    def file_name(self) -> str:
        """`artifact-version.jar`."""
        return f"{self.artifact}-{self.version}.jar"

    @property
    def repository_path(self) -> str:
        """Where a Maven repository keeps the jar, relative to its base address."""
        return f"{self.group.replace('.', '/')}/{self.artifact}/{self.version}/{self.file_name}"


@dataclass(frozen=True)
class JarLock:
    """The committed list of jars; `key` names its cache folder, so another lock never meets these jars."""

    content: bytes

    @classmethod
    def committed(cls) -> JarLock:
        """The lock that this release ships."""
        return cls(LOCK_PATH.read_bytes())

    @cached_property
    def artifacts(self) -> tuple[Artifact, ...]:
        """The jars, in the lock's order."""
        return tuple(Artifact(**entry) for entry in tomllib.loads(self.content.decode())["artifacts"])

    @cached_property
    def kafka_version(self) -> str:
        """The version of the broker's own jar."""
        return next(a.version for a in self.artifacts if a.artifact.startswith("kafka_"))

    @cached_property
    def folder(self) -> Path:
        """The cache folder of this lock; its jars are in `jars/`."""
        return cache_root() / "kafka" / hashlib.sha256(self.content).hexdigest()[:16]


def verified_jars(lock: JarLock | None = None, *, base: str | None = None) -> list[Path]:
    """The sorted jar paths, fetched where missing and all compared with the lock.

    `base` is the Maven repository to fetch from (see `mirror.maven_base`).
    Raises `ChecksumMismatch` for a changed or an unlocked jar, `DownloadFailed` for a missing one.
    """
    lock = lock or JarLock.committed()
    folder = lock.folder / "jars"
    if missing_in(folder, lock):
        with file_lock(lock.folder / "fetch.lock"):
            fetch_jars(missing_in(folder, lock), folder, base=base)
    refuse_unlocked(folder, lock)
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        list(pool.map(lambda artifact: refuse_changed(folder / artifact.file_name, artifact), lock.artifacts))
    return sorted(folder / artifact.file_name for artifact in lock.artifacts)


def missing_in(folder: Path, lock: JarLock) -> list[Artifact]:
    """The artifacts of `lock` that have no file in `folder`."""
    present = set(os.listdir(folder)) if folder.is_dir() else set[str]()
    return [artifact for artifact in lock.artifacts if artifact.file_name not in present]


def fetch_jars(artifacts: Iterable[Artifact], folder: Path, *, base: str | None = None) -> None:
    """Download `artifacts` into `folder`, several at a time; none gets its name before its sha256 is right."""
    wanted = list(artifacts)
    if not wanted:
        return
    address = maven_base(base)
    log.warning("Fetching Apache Kafka once: %d files to %s", len(wanted), folder)
    with ThreadPoolExecutor(DOWNLOAD_THREADS) as pool:
        downloads = [pool.submit(fetch_jar, artifact, folder, address) for artifact in wanted]
        try:
            for download in as_completed(downloads):
                download.result()
        except BaseException:
            pool.shutdown(
                wait=False, cancel_futures=True
            )  # the rest would fail likewise, one timeout after the other
            raise


def fetch_jar(artifact: Artifact, folder: Path, base: str) -> None:
    """Download one jar from the repository at `base`, compare it and give it its name."""
    address = f"{base.rstrip('/')}/{artifact.repository_path}"
    content = download(address)
    found = hashlib.sha256(content).hexdigest()
    if found != artifact.sha256:
        raise ChecksumMismatch(
            f"{address} is not the locked jar: sha256 {found}, expected {artifact.sha256}. It was not saved.",
            next_step="Check what serves TASKER_MAVEN_BASE (a proxy's error page is a common cause).",
        )
    try:
        write_whole(folder / artifact.file_name, content)
    except OSError as error:
        raise BrokerNotSupported(
            f"{folder / artifact.file_name} cannot be written: {error.strerror}.",
            next_step="Set XDG_CACHE_HOME to a folder with 200 MB free.",
        ) from error


def download(address: str) -> bytes:
    """The bytes at `address`; a broken connection is tried once more."""
    for attempt in range(1, DOWNLOAD_ATTEMPTS + 1):
        try:
            with urllib.request.urlopen(address, timeout=DOWNLOAD_TIMEOUT_SECONDS) as response:
                content: bytes = response.read()
                return content
        except (OSError, HTTPException, ValueError) as error:
            if attempt < DOWNLOAD_ATTEMPTS and not isinstance(error, HTTPError):
                continue
            raise DownloadFailed(
                f"{address} could not be fetched: {error}.",
                next_step="Check the network or set TASKER_MAVEN_BASE to a Maven repository that this machine "
                "reaches; or give the address of a running broker in TASKER_BROKER.",
            ) from error
    raise AssertionError("unreachable: the last attempt returns or raises")


def refuse_unlocked(folder: Path, lock: JarLock) -> None:
    """Raise `ChecksumMismatch` when `folder` holds a jar that the lock does not name."""
    strangers = {path.name for path in folder.glob("*.jar")} - {a.file_name for a in lock.artifacts}
    if strangers:
        raise ChecksumMismatch(
            f"{folder} holds jars that the lock does not name: {', '.join(sorted(strangers))}.",
            next_step=f"Delete {folder}; it is filled again at the next start.",
        )


def refuse_changed(path: Path, artifact: Artifact) -> None:
    """Raise `ChecksumMismatch` when the file's sha256 is not the artifact's."""
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != artifact.sha256:
        raise ChecksumMismatch(
            f"{path} has changed: sha256 {found}, the lock says {artifact.sha256}. It was not used.",
            next_step=f"Delete {path}; it is fetched again at the next start.",
        )
