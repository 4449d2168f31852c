"""The cache folder of the embedded broker, and the two primitives that make it safe for several processes:
a lock held by the operating system, and a file that appears whole or not at all."""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tasker_kafka.topics.brokers.errors import BrokerNotSupported

__all__ = ["cache_root", "file_lock", "write_whole"]


def cache_root() -> Path:
    """`${XDG_CACHE_HOME:-~/.cache}/tasker-kafka`, created; raises `BrokerNotSupported` where it cannot be written."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    root = Path(base, "tasker-kafka")
    try:
        root.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise BrokerNotSupported(
            f"The cache folder {root} cannot be written: {error.strerror}.",
            next_step="Set XDG_CACHE_HOME to a folder that this user may write.",
        ) from error
    return root


@contextmanager
def file_lock(path: Path, *, wait: bool = True) -> Iterator[bool]:
    """Hold an exclusive lock on `path`, yielding whether it was got; the kernel frees it when the process dies."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield True


def write_whole(path: Path, content: bytes) -> None:
    """Write `content` beside `path` and give it its name last, so that no reader sees a part of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
