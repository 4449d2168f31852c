"""Asking the rules whether an operator's command would be accepted, with every detail that its action takes."""

from __future__ import annotations

from typing import Final

from tasker_kafka.schemas.identity import new_request_id
from tasker_kafka.schemas.records import OperatorCommand
from tasker_kafka.schemas.words import AnswerCode, OperatorAction
from tasker_kafka.streams.domain.allowing import STEP_ACTIONS, TaskNow, forecast

from .tasks import TASK_ID, Rig

__all__ = ["TASK_ACTIONS", "accepted"]

TASK_ACTIONS: Final = tuple(each for each in OperatorAction if each not in STEP_ACTIONS)


def accepted(rig: Rig, action: OperatorAction, step: str | None = None) -> bool:
    """Whether the engine would accept the command now."""
    body = OperatorCommand(
        command_id=new_request_id(),
        action=action,
        actor="ada",
        reason="",
        steps=() if step is None else (step,),
        max_attempts=100 if action is OperatorAction.SET_MAX_ATTEMPTS else None,
        text="why" if action is OperatorAction.SET_REASON else None,
        tags=() if action is OperatorAction.SET_TAGS else None,
    )
    answer = forecast(TaskNow(rig.state, rig.plan), TASK_ID, body)
    assert answer is not None
    return answer.code == AnswerCode.ACCEPTED
