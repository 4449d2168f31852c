"""How a process of Tasker ends: the exit codes, and which error gives which.

A supervisor's rules are written against these numbers, so every role and every command takes them from here. All of
them are safe to restart but the two that say otherwise; nothing is lost by any.
"""

from __future__ import annotations

from enum import IntEnum

from .errors import (
    BrokerUnavailable,
    ConfigurationError,
    FencedError,
    LogError,
    PartitionLost,
    SchemaUnknown,
    TaskerError,
    TopicsDrifted,
)

__all__ = ["ExitCode", "MemberFenced", "exit_code", "is_final"]


class MemberFenced(FencedError):
    """Another process has this one's member id."""


class ExitCode(IntEnum):
    """Why the process ended; documented in docs/reference/cli.md."""

    OK = 0
    INTERNAL = 70
    """A defect: the error's traceback is in the log. Restart."""
    BROKER = 75
    """The broker is away or refused a write. Restart."""
    PARTITION_LOST = 76
    """A checkpoint failed, or a newer owner has taken a partition over. Restart."""
    FENCED = 77
    """Another process has our member id. Do not restart this one: the two would fence each other for ever."""
    CONFIGURATION = 78
    """Settings, topics or the release do not fit. Do not restart before that is mended."""


_CODES: tuple[tuple[type[TaskerError], ExitCode], ...] = (
    (MemberFenced, ExitCode.FENCED),
    (FencedError, ExitCode.PARTITION_LOST),
    (PartitionLost, ExitCode.PARTITION_LOST),
    (BrokerUnavailable, ExitCode.BROKER),
    (ConfigurationError, ExitCode.CONFIGURATION),
    (TopicsDrifted, ExitCode.CONFIGURATION),
    (SchemaUnknown, ExitCode.CONFIGURATION),
    (LogError, ExitCode.BROKER),
)


def exit_code(error: BaseException) -> ExitCode:
    """The code with which `error` ends the process."""
    for kind, code in _CODES:
        if isinstance(error, kind):
            return code
    return ExitCode.INTERNAL


def is_final(code: int) -> bool:
    """Whether a process that ended so is not to be started again before somebody has acted."""
    return code in {ExitCode.FENCED, ExitCode.CONFIGURATION}
