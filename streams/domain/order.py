"""One operator command being obeyed: its audit, its answers, and how it brings a task back to work."""

from __future__ import annotations

from typing import Final

from tasker_kafka.schemas.records import Answer, Audit, OperatorCommand, Value
from tasker_kafka.schemas.words import STUCK_TASK_STATES, AnswerCode, Cause, TaskStatus, TransitionEvent

from .draft import Draft

__all__ = ["ACTOR_BYTES", "TEXT_BYTES", "Order"]

ACTOR_BYTES: Final = 128
TEXT_BYTES: Final = 4096
"""The longest reason of a command, and the longest new reason of a task."""
_BRIEF_LENGTH: Final = 60
"""Characters of the reason on a command's further transitions: a thousand of them must fit one record."""


class Order:
    """A command and the draft in which it is obeyed."""

    __slots__ = ("_audited", "body", "draft")

    def __init__(self, draft: Draft, body: OperatorCommand) -> None:
        self.draft = draft
        self.body = body
        self._audited = False

    def audit(
        self,
        *,
        base: int | None = None,
        result: Value = None,
        max_attempts: int | None = None,
        text: str | None = None,
        tags: tuple[str, ...] | None = None,
    ) -> Audit:
        """The data of a transition that the command causes: the whole reason on the first, its beginning on others."""
        body = self.body
        reason = body.reason
        if self._audited and len(reason) > _BRIEF_LENGTH:
            reason = reason[: _BRIEF_LENGTH - 1] + "…"
        self._audited = True
        return Audit(
            command_id=body.command_id,
            action=body.action,
            actor=body.actor,
            reason=reason,
            base=base,
            result=result,
            max_attempts=max_attempts,
            text=text,
            tags=tags,
        )

    def reopen(self) -> None:
        """For a retry: a blocked or failed task begins again, a waiting one goes on."""
        draft = self.draft
        if draft.status in STUCK_TASK_STATES:
            draft.task(TransitionEvent.RETRY_REQUESTED, TaskStatus.PENDING, Cause.OPERATOR, self.audit())
            draft.task(TransitionEvent.START_REQUESTED, TaskStatus.IN_PROGRESS, Cause.OPERATOR)
        else:
            draft.wake()

    def resume(self) -> None:
        """For a step that an operator put in order: a blocked or failed task, or a waiting one, goes on."""
        draft = self.draft
        if draft.status in STUCK_TASK_STATES:
            draft.task(TransitionEvent.RESUMED, TaskStatus.IN_PROGRESS, Cause.OPERATOR, self.audit())
        else:
            draft.wake()

    @property
    def ways_out(self) -> str:
        """What may be done with a task in `error`."""
        return "retry_task, retry_step, resolve_step, complete_step, resolve_task, cancel_task"

    def accepted(self, text: str) -> Answer:
        """The command was done."""
        return Answer(self.body.command_id, AnswerCode.ACCEPTED, text)

    def already(self, state: object, text: str) -> Answer:
        """What the command asks for is so already."""
        return Answer(self.body.command_id, f"already_{state}", text)

    def forbidden(self, text: str) -> Answer:
        """The state forbids it; `text` says the state and what is allowed."""
        return Answer(self.body.command_id, AnswerCode.FORBIDDEN, text)

    def refused(self, code: AnswerCode, text: str) -> Answer:
        """It cannot be done for another reason."""
        return Answer(self.body.command_id, code, text)
