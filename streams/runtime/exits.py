"""The one way out of an orchestrator process for an error.

Faust swallows exceptions in recovery hooks and agents' loops, so every hook and loop of ours calls `fatal`
instead of raising. The exit codes are those of every role: `schemas.exits`.
"""

from __future__ import annotations

import logging
import os
import sys

from tasker_kafka.schemas.exits import ExitCode, exit_code

__all__ = ["fatal"]

_log = logging.getLogger("tasker.orchestrator")


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
