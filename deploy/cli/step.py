"""`tasker step`: what an operator may ask of single steps."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from .operate import Orders, operate
from .options import Actor, AsJson, Reason, TaskId, Timeout, WaitForAnswer

__all__ = ["app"]

app = typer.Typer(help="Steps: retry, resolve, complete or cancel them.", no_args_is_help=True)

Steps = Annotated[list[str], typer.Argument(metavar="STEP...", help="Names of steps.")]
Step = Annotated[str, typer.Argument(metavar="STEP", help="Name of the step.")]
Result = Annotated[
    str, typer.Option("--result", help="The step's result: JSON, or @FILE. Children read it as usual.")
]


@app.command()
def retry(
    task: TaskId,
    steps: Steps,
    *,
    reason: Reason = "",
    actor: Actor = None,
    wait: WaitForAnswer = True,
    timeout: Timeout = 30.0,
    as_json: AsJson = False,
) -> None:
    """Try failed or cancelled steps again, with a new budget of attempts; reopens the task."""
    orders = Orders(reason, actor, wait, timeout, as_json)
    operate(task, orders, lambda client, task_id: client.retry(task_id, *steps, **orders.options()))


@app.command()
def resolve(
    task: TaskId,
    steps: Steps,
    *,
    reason: Reason = "",
    actor: Actor = None,
    wait: WaitForAnswer = True,
    timeout: Timeout = 30.0,
    as_json: AsJson = False,
) -> None:
    """Declare steps dealt with, without a result; this is also how to skip one. Their children may run."""
    orders = Orders(reason, actor, wait, timeout, as_json)
    operate(task, orders, lambda client, task_id: client.resolve(task_id, *steps, **orders.options()))


@app.command()
def complete(
    task: TaskId,
    step: Step,
    *,
    result: Result = "null",
    reason: Reason = "",
    actor: Actor = None,
    wait: WaitForAnswer = True,
    timeout: Timeout = 30.0,
    as_json: AsJson = False,
) -> None:
    """Complete a step by hand, with a result. Cancel a running step first."""
    orders = Orders(reason, actor, wait, timeout, as_json)
    value = read_result(result)
    operate(task, orders, lambda client, task_id: client.complete(task_id, step, value, **orders.options()))


@app.command()
def cancel(
    task: TaskId,
    steps: Steps,
    *,
    reason: Reason = "",
    actor: Actor = None,
    wait: WaitForAnswer = True,
    timeout: Timeout = 30.0,
    as_json: AsJson = False,
) -> None:
    """Cancel steps; a running handler is told. Their children cannot run until someone retries or resolves them."""
    orders = Orders(reason, actor, wait, timeout, as_json)
    operate(task, orders, lambda client, task_id: client.cancel(task_id, *steps, **orders.options()))


def read_result(text: str) -> Any:
    """The JSON value of --result. BadParameter when it is none."""
    try:
        return json.loads(Path(text[1:]).read_bytes() if text.startswith("@") else text)
    except (OSError, ValueError) as error:
        raise typer.BadParameter(f"no JSON: {error}", param_hint="--result") from None
