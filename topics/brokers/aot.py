"""The AOT cache: classes loaded and linked ahead of time, which halves a broker's start.

It is trained once per user, by a broker of its own in a background process that runs only when the machine has
nothing else to do; no start waits for it and no stop. A training that is killed leaves nothing behind: the cache
gets its name when it is whole.
"""

from __future__ import annotations

import hashlib
import logging
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from tasker_kafka.topics.brokers.java import COMMON_FLAGS, Java

__all__ = ["cache_path", "train_in_background", "training_flags", "use_flags"]

RETRY_AFTER_SECONDS = 24 * 3600
KEPT_CACHES = 3

log = logging.getLogger(__name__)


def cache_path(java: Java, jars: Sequence[Path]) -> Path:
    """The cache file for exactly this Java and these jar files; the JVM ignores a cache made with others."""
    modules = java.path.parent.parent / "lib" / "modules"
    parts = [str(java.path), *COMMON_FLAGS]
    for file in (modules, *jars):
        stat = file.stat()
        parts.append(f"{file} {stat.st_size} {stat.st_mtime_ns}")
    return (
        jars[0].parent.parent / "aot" / f"{hashlib.sha256(chr(10).join(parts).encode()).hexdigest()[:16]}.aot"
    )


def use_flags(cache: Path | None) -> list[str]:
    """The flags of a broker that uses `cache` if it is there; the JVM's remarks about it are kept out of the log."""
    if cache is None or not is_wanted() or not cache.is_file():
        return []
    return [f"-XX:AOTCache={cache}", "-Xlog:disable", "-Xlog:all=error:stderr"]


def training_flags(target: Path) -> list[str]:
    """The flags of a broker that writes `target` when it is stopped."""
    return [f"-XX:AOTCacheOutput={target}", "-Xlog:disable", "-Xlog:all=error:stderr"]


def is_wanted() -> bool:
    """TASKER_BROKER_AOT=0 turns the cache off."""
    return os.environ.get("TASKER_BROKER_AOT", "1") != "0"


def train_in_background(cache: Path | None) -> None:
    """Start the training process where `cache` is missing; returns at once, and several callers start it once."""
    if cache is None or not is_wanted() or cache.is_file() or failed_lately(cache):
        return
    # The shell hands the process to init, so it is nobody's zombie and does not hold up who started it.
    script = 'cd / && "$@" </dev/null >/dev/null 2>&1 &'
    command = [sys.executable, "-m", "tasker_kafka.topics.brokers", "train"]
    subprocess.run(["/bin/sh", "-c", script, "sh", *command], check=False, start_new_session=True)


def yield_to_others() -> None:
    """Let this process and its children run only when the machine is otherwise idle."""
    os.nice(19)
    if hasattr(os, "sched_setscheduler"):
        try:
            os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
        except OSError:
            log.debug("the idle scheduling class is not available", exc_info=True)


def failed_lately(cache: Path) -> bool:
    """Whether a training of this cache failed within a day."""
    mark = cache.with_suffix(".failed")
    return mark.is_file() and time.time() - mark.stat().st_mtime < RETRY_AFTER_SECONDS


def remove_old(cache: Path) -> None:
    """Keep the newest few caches (65 MB each): one is enough per Java installation that is in use."""
    caches = sorted(cache.parent.glob("*.aot"), key=lambda path: path.stat().st_mtime, reverse=True)
    for old in caches[KEPT_CACHES:]:
        old.unlink(missing_ok=True)
