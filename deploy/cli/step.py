"""`tasker step`: what an operator may ask of single steps."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from tasker_kafka.schemas.words import OperatorAction

from .completing import complete_step
from .helping import examples
from .operate import Orders, operate
from .options import TaskId
from .spreading import spread

__all__ = ["app"]

app = typer.Typer(help="Steps: retry, resolve, complete or cancel them.", no_args_is_help=True)

Steps = Annotated[
    list[str], typer.Argument(metavar="STEP", help="Names of steps.", autocompletion=complete_step)
]
Step = Annotated[str, typer.Argument(metavar="STEP", help="Name of the step.", autocompletion=complete_step)]
Result = Annotated[
    str, typer.Option("--result", help="The step's result: JSON, or @FILE. Children read it as usual.")
]
MaxAttempts = Annotated[
    int, typer.Argument(metavar="ATTEMPTS", min=1, help="Attempts of the step's budget, those made included.")
]


@app.command()
@spread
def retry(task: TaskId, steps: Steps, orders: Orders) -> None:
    """Try failed or cancelled steps again, with a new budget of attempts; reopens the task."""
    operate(task, OperatorAction.RETRY_STEP, {"steps": steps}, orders)


@app.command()
@spread
def resolve(task: TaskId, steps: Steps, orders: Orders) -> None:
    """Declare steps dealt with, without a result; this is also how to skip one. Their children may run."""
    operate(task, OperatorAction.RESOLVE_STEP, {"steps": steps}, orders)


@app.command(
    epilog=examples(
        "tasker step complete 0197f3c8-7a1e-7c3b-9d7e-2f1a5b6c7d8e charge --result '{\"receipt\": 17}'",
        "tasker step complete 0197f3c8-7a1e-7c3b-9d7e-2f1a5b6c7d8e charge --result @charge.json",
    )
)
@spread
def complete(task: TaskId, step: Step, *, result: Result = "null", orders: Orders) -> None:
    """Complete a step by hand, with a result. Cancel a running step first."""
    value = read_result(result)
    operate(task, OperatorAction.COMPLETE_STEP, {"steps": [step], "result": value}, orders)


@app.command()
@spread
def cancel(task: TaskId, steps: Steps, orders: Orders) -> None:
    """Cancel steps; a running handler is told. Their children cannot run until someone retries or resolves them."""
    operate(task, OperatorAction.CANCEL_STEP, {"steps": steps}, orders)


@app.command("set-max-attempts")
@spread
def set_max_attempts(task: TaskId, step: Step, attempts: MaxAttempts, orders: Orders) -> None:
    """Give a step another limit of attempts."""
    operate(task, OperatorAction.SET_MAX_ATTEMPTS, {"steps": [step], "max_attempts": attempts}, orders)


def read_result(text: str) -> Any:
    """The JSON value of --result. BadParameter when it is none."""
    try:
        return json.loads(Path(text[1:]).read_bytes() if text.startswith("@") else text)
    except (OSError, ValueError) as error:
        raise typer.BadParameter(f"no JSON: {error}", param_hint="--result") from None
