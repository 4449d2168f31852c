"""How an orchestrator process ends: the exit codes, and the one way out for an error.

Faust swallows exceptions in recovery hooks and agents' loops, so every hook and loop of ours calls `fatal`
instead of raising. All of them are safe to restart but the two that say otherwise; nothing is lost by any.
"""

from __future__ import annotations

import logging
import os
import sys
from enum import IntEnum

from tasker_kafka.schemas.errors import (
    BrokerUnavailable,
    ConfigurationError,
    FencedError,
    LogError,
    PartitionLost,
    SchemaUnknown,
    TaskerError,
    TopicsDrifted,
)

__all__ = ["ExitCode", "MemberFenced", "exit_code", "fatal"]

_log = logging.getLogger("tasker.orchestrator")


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


def fatal(error: BaseException) -> None:
    """Say why and end the process at once, without any further write: what was not checkpointed is replayed."""
    code = exit_code(error)
    if code is ExitCode.INTERNAL:
        _log.critical("stopping: %r", error, exc_info=error)
    else:
        _log.critical("stopping (%s): %s", code.name.lower(), error)
    for handler in logging.getLogger().handlers:
        handler.flush()
    sys.stderr.flush()
    os._exit(code)
