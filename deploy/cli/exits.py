"""The exit codes of every command, and which error gives which; docs/reference/cli.md prints this table.

The codes from 64 on are those of sysexits.h, as the long-running roles use them, so that one supervisor's rules
fit all: 75 and 76 may be restarted, 77 and 78 not before someone has acted.
"""

from __future__ import annotations

from enum import IntEnum

from tasker_kafka.schemas.errors import NotFoundError, TaskerError, WaitTimeout
from tasker_kafka.schemas.exits import ExitCode, exit_code

__all__ = ["CommandExit", "code_of"]


class CommandExit(IntEnum):
    """How a command ended."""

    OK = 0
    """Done; for checks: nothing is wrong."""
    REFUSED = 1
    """The answer is no: rejected, refused, failed, or a check found something."""
    USAGE = 2
    """The command line itself is wrong."""
    NOT_FOUND = 4
    """Nothing of that id or name exists."""
    TIMEOUT = 5
    """What was waited for did not happen in time; it may still."""
    INTERNAL = ExitCode.INTERNAL
    """A defect of Tasker."""
    BROKER = ExitCode.BROKER
    """No broker answers, or it refused; try again."""
    PARTITION_LOST = ExitCode.PARTITION_LOST
    """Another process took over (a partition, a publication) or a partition cannot be owned; start again."""
    FENCED = ExitCode.FENCED
    """Another process has this one's member id; do not restart this one."""
    CONFIGURATION = ExitCode.CONFIGURATION
    """A setting, a topic or the release does not fit; mend that first."""
    INTERRUPTED = 130
    """Ctrl-C."""
    CLOSED_PIPE = 141
    """Whoever read the output went away before its end, as of `| head`."""


def code_of(error: BaseException) -> CommandExit:
    """The exit code of a command that `error` ended."""
    if isinstance(error, KeyboardInterrupt):
        return CommandExit.INTERRUPTED
    if isinstance(error, BrokenPipeError):
        return CommandExit.CLOSED_PIPE
    if isinstance(error, NotFoundError):
        return CommandExit.NOT_FOUND
    if isinstance(error, WaitTimeout):
        return CommandExit.TIMEOUT
    code = CommandExit(exit_code(error))
    if code is CommandExit.INTERNAL and isinstance(error, TaskerError):
        return CommandExit.REFUSED
    return code
