"""What was measured on: the machine, the versions, and the CPU time that each process has used."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path

__all__ = [
    "cpu_seconds",
    "cpu_seconds_in",
    "machine",
    "rss_bytes",
    "since",
    "versions",
    "waited_seconds",
    "waited_seconds_in",
]

_USER, _SYSTEM = 11, 12
"""utime and stime among the fields of /proc/<pid>/stat that follow the command's name."""
_PACKAGES = ("faust-streaming", "aiokafka", "uvloop", "fastavro", "msgspec")


def cpu_seconds(pid: int) -> float:
    """CPU time of a process with all its threads, in clock ticks of 10 ms; its children are not counted."""
    return cpu_seconds_in(Path(f"/proc/{pid}/stat").read_text(), os.sysconf("SC_CLK_TCK"))


def cpu_seconds_in(stat: str, ticks: int) -> float:
    """The same from the file's text; the command's name may hold blanks and brackets."""
    fields = stat.rpartition(")")[2].split()
    return (int(fields[_USER]) + int(fields[_SYSTEM])) / ticks


def waited_seconds(pid: int) -> float:
    """How long the threads of a process were ready to run and had no processor; those that have ended are left out."""
    return sum(waited_seconds_in(each.read_text()) for each in Path(f"/proc/{pid}/task").glob("*/schedstat"))


def waited_seconds_in(schedstat: str) -> float:
    """The same from one thread's file: nanoseconds run, nanoseconds waited, time slices."""
    return int(schedstat.split()[1]) / 1e9


def rss_bytes(pid: int) -> int:
    """Memory of a process that is resident now."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def since(before: Mapping[str, float], now: Mapping[str, float]) -> dict[str, float]:
    """What each process has used between two readings."""
    return {name: now[name] - used for name, used in before.items() if name in now}


def machine() -> dict[str, str]:
    """Processor, memory, kernel, and how busy the machine is with other things."""
    return {
        "processor": f"{os.cpu_count()} × {_first('/proc/cpuinfo', 'model name')}",
        "memory": _first("/proc/meminfo", "MemTotal"),
        "system": f"{platform.system()} {platform.release()}",
        "load average": " ".join(f"{value:.1f}" for value in os.getloadavg()),
    }


def versions() -> dict[str, str]:
    """Of Python and of the packages that the time goes through."""
    found = {"python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "–"
    return found


def _first(file: str, name: str) -> str:
    try:
        lines = Path(file).read_text().splitlines()
    except OSError:
        return "unknown"
    for line in lines:
        key, _, value = line.partition(":")
        if key.strip() == name:
            return value.strip()
    return "unknown"
