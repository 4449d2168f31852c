"""How one record of the transitions topic changes a task: the other way to the state, beside `decide`.

A new owner, a projection and `verify-rebuild` all fold. The record alone, with the plan it names, suffices.
"""

from __future__ import annotations

from typing import Final

from tasker_kafka.schemas.plan import Plan
from tasker_kafka.schemas.records import Answer, Transitions
from tasker_kafka.schemas.state import Stub, TaskState
from tasker_kafka.schemas.words import FINAL_TASK_STATES, AnswerCode

from .evolve import Fold
from .retention import stub_of

__all__ = ["COMMAND_IDS_KEPT", "fold", "fold_whole", "settle"]

COMMAND_IDS_KEPT: Final = 32
"""How many operator commands a task remembers."""

_OF_REQUESTS: Final = frozenset({AnswerCode.DUPLICATE, AnswerCode.EXPIRED})


def fold(state: TaskState | Stub | None, record: Transitions, plan: Plan | None) -> TaskState | Stub | None:
    """The task after one record; unconditional.

    An answer about a task without a live state (seq 0) changes nothing. HistoryIncomplete when the record builds
    on one that was not folded. `plan` is the one that the task, or the record's TaskCreated, names.
    """
    if record.seq == 0:
        return state
    working = Fold(state if isinstance(state, TaskState) else None, plan)
    for transition in record.transitions:
        working.apply(transition)
    return settle(working, record)


def fold_whole(state: TaskState | None, record: Transitions, plan: Plan) -> TaskState:
    """The task after one record, for readers: a final one stays whole, of which the engine keeps a stub.

    Ids of commands stay as they were.
    """
    working = Fold(state, plan)
    for transition in record.transitions:
        working.apply(transition)
    known = () if state is None else state.command_ids
    return working.freeze(life=record.life, seq=record.seq, now=record.at, command_ids=known)


def settle(working: Fold, record: Transitions) -> TaskState | Stub:
    """Freeze a task whose transitions have been taken, with what the record itself says. A final task is a stub."""
    known = () if working.origin is None else working.origin.command_ids
    state = working.freeze(
        life=record.life,
        seq=record.seq,
        now=record.at,
        command_ids=known if record.answer is None else _remember(known, record.answer),
    )
    if state.state in FINAL_TASK_STATES and working.plan is not None:
        return stub_of(state, working.plan)
    return state


def _remember(known: tuple[bytes, ...], answer: Answer) -> tuple[bytes, ...]:
    """Whatever the answer was, the command was decided; answers to requests are not operators' commands."""
    if answer.code in _OF_REQUESTS or answer.command_id in known:
        return known
    return (*known, answer.command_id)[-COMMAND_IDS_KEPT:]
