"""What operators ask of tasks and steps: one task at a time, or all that fit.

Each becomes a record on the commands topic. The answer is waited for `wait` seconds (200, or a refusal as 409); one
that has not come by then is 202, and the same `Idempotency-Key` asks for the same again without acting twice.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, TypedDict

from fastapi import APIRouter, Path
from starlette.responses import Response

from tasker_kafka.deploy.bulk import BulkReport
from tasker_kafka.deploy.console.auth import Principal
from tasker_kafka.deploy.console.backend import Asked, Backend, Outcome
from tasker_kafka.schemas.settings.console import Role
from tasker_kafka.schemas.words import OperatorAction

from .answering import Operator, TheBackend, answer, answers
from .inputs import BulkBody, Command, CommandBody, CompleteBody, IdempotencyKey, TaskId, Wait

__all__ = ["Details", "asked_of", "outcome_answer", "outcomes", "router"]

router: Final = APIRouter(tags=["commands"])
USUAL_WAIT: Final = 5.0
_NOTHING_SAID: Final = CommandBody()
StepName = Annotated[str, Path(max_length=128, description="A step's name.")]


class Details(TypedDict, total=False):
    """What only some actions carry."""

    steps: tuple[str, ...]
    result: Any
    max_attempts: int | None
    text: str | None
    tags: tuple[str, ...] | None


def outcomes() -> dict[str, Any]:
    """Keywords of a route that sends a command."""
    return answers(
        Outcome,
        text="The command is answered: `code` is accepted, repeated or already_<state>.",
        also=(404, 409),
        _202=(Outcome, "The command lies in the log, and is not answered yet."),
    )


def asked_of(body: CommandBody, operator: Principal, key: str | None, more: Details | None = None) -> Asked:
    """What a body asks, by whom."""
    extra: Details = more or {}
    return {
        **extra,
        "actor": operator.acting_as(body.actor),
        "reason": body.reason,
        "command_id": None,
        "key": key,
        "expected_seq": body.expected_seq,
    }


def outcome_answer(outcome: Outcome) -> Response:
    """200 when it is answered, else 202."""
    return answer(outcome, 202 if outcome.code is None else 200)


async def _send(
    backend: Backend, task_id: bytes, action: OperatorAction, wait: float, asked: Asked
) -> Response:
    return outcome_answer(await backend.operate(task_id, action, wait=wait or None, **asked))


def _task_route(name: str, action: OperatorAction, text: str) -> None:
    async def route(
        task_id: TaskId,
        *,
        backend: TheBackend,
        operator: Operator,
        body: CommandBody = _NOTHING_SAID,
        key: IdempotencyKey = None,
        wait: Wait = USUAL_WAIT,
    ) -> Response:
        return await _send(backend, task_id, action, wait, asked_of(body, operator, key))

    route.__doc__ = text
    router.post(f"/tasks/{{task_id}}/{name}", name=f"{name}_task", **outcomes())(route)


def _step_route(name: str, action: OperatorAction, text: str) -> None:
    async def route(
        task_id: TaskId,
        step: StepName,
        *,
        backend: TheBackend,
        operator: Operator,
        body: CommandBody = _NOTHING_SAID,
        key: IdempotencyKey = None,
        wait: Wait = USUAL_WAIT,
    ) -> Response:
        return await _send(backend, task_id, action, wait, asked_of(body, operator, key, {"steps": (step,)}))

    route.__doc__ = text
    router.post(f"/tasks/{{task_id}}/steps/{{step}}/{name}", name=f"{name}_step", **outcomes())(route)


_task_route("cancel", OperatorAction.CANCEL_TASK, "Cancel the task and every unfinished step.")
_task_route("retry", OperatorAction.RETRY_TASK, "Try every failed or cancelled step again; reopens the task.")
_task_route("resolve", OperatorAction.RESOLVE_TASK, "Declare a blocked or failed task dealt with.")
_step_route("retry", OperatorAction.RETRY_STEP, "Try the step again with a new budget of attempts.")
_step_route("resolve", OperatorAction.RESOLVE_STEP, "Declare the step dealt with, without a result.")
_step_route("cancel", OperatorAction.CANCEL_STEP, "Cancel the step; its children cannot run.")


@router.post("/tasks/{task_id}/steps/{step}/complete", **outcomes())
async def complete_step(
    task_id: TaskId,
    step: StepName,
    *,
    body: CompleteBody,
    backend: TheBackend,
    operator: Operator,
    key: IdempotencyKey = None,
    wait: Wait = USUAL_WAIT,
) -> Response:
    """Complete the step by hand with this result."""
    asked = asked_of(body, operator, key, {"steps": (step,), "result": body.result})
    return await _send(backend, task_id, OperatorAction.COMPLETE_STEP, wait, asked)


@router.post("/tasks/{task_id}/commands", **outcomes())
async def command_task(
    task_id: TaskId,
    *,
    body: Command,
    backend: TheBackend,
    operator: Operator,
    key: IdempotencyKey = None,
    wait: Wait = USUAL_WAIT,
) -> Response:
    """Any action: also set_max_attempts, set_reason, set_tags, and step actions on several steps at once."""
    asked = asked_of(body, operator, key, _details(body))
    return await _send(backend, task_id, body.action, wait, asked)


@router.post("/tasks/bulk", **answers(BulkReport))
async def command_many(
    body: BulkBody, backend: TheBackend, operator: Operator, key: IdempotencyKey = None
) -> Response:
    """One command to every task that fits, or with `dry_run` (the default) what each would answer.

    Sending needs the role admin. The same `Idempotency-Key` for the same act is the same bulk: once on each task.
    """
    if not body.dry_run:
        operator.require(Role.ADMIN)
    report = await backend.bulk(
        body.filter.query(),
        body.action,
        dry_run=body.dry_run,
        limit=body.limit,
        per_second=body.per_second,
        **asked_of(body, operator, key, _details(body)),
    )
    return answer(report)


def _details(body: Command) -> Details:
    found: Details = {
        "steps": body.steps,
        "max_attempts": body.max_attempts,
        "text": body.text,
        "tags": body.tags,
    }
    if "result" in body.model_fields_set:
        found["result"] = body.result
    return found
