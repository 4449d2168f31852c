"""Releases whose rules differ: the real `decide`, given a command as that release would have understood it.

An owner of another release may record other events for the same command, ask for another attempt, or ignore what its
predecessor accepted. Changing the command before the real rules see it gives exactly that, and everything that
comes out is legal and folds.
"""

from __future__ import annotations

from typing import Final

from msgspec.structs import replace

from tasker_kafka.schemas.records import Command, Failure, StartTask, StepResult
from tasker_kafka.schemas.state import Stub, TaskState
from tasker_kafka.schemas.words import Outcome
from tasker_kafka.streams.domain import Decision, Ignored, IgnoredReason, Moment, decide

__all__ = ["DOUBTED", "RELEASES", "TRUSTED", "decide_by"]

TRUSTED: Final = "worker"
"""Every release accepts this worker's results."""
DOUBTED: Final = "doubted"
"""What this worker says is ignored by release 0, accepted by release 1, a failure to be retried for release 2."""
RELEASES: Final = 3


def decide_by(
    release: int, state: TaskState | Stub | None, command: Command, moment: Moment
) -> Decision | Ignored:
    """What this release makes of a command. No two of them write the same bytes for an accepted one."""
    body = command.body
    if isinstance(body, StartTask):
        body = replace(body, correlation_id=f"release-{release}")
    elif isinstance(body, StepResult):
        if body.worker_id != DOUBTED or release == 1:
            body = replace(body, result=b'"%d"' % release)
        elif release == 0:
            return Ignored(IgnoredReason.NOT_DECIDED)
        else:
            failure = Failure(type="Doubted", code="doubted")
            body = replace(body, outcome=Outcome.FAILURE, result=None, failure=failure)
    return decide(state, Command(command.task_id, body), moment)
