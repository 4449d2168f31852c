"""`tasker submit`: send a request from a file or standard input, and wait for its outcome if asked."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .completing import complete_plan
from .console import note, print_json, print_text
from .exits import CommandExit
from .guard import run
from .options import AsJson, current_actor
from .session import Session, in_session

if TYPE_CHECKING:
    from tasker_kafka.schemas.errors import RequestRejected, TaskFailed
    from tasker_kafka.schemas.records import TaskRequest
    from tasker_kafka.topics.client import TaskClient
    from tasker_kafka.topics.handle import TaskHandle

__all__ = ["submit"]

File = Annotated[
    Path,
    typer.Argument(
        metavar="FILE|-",
        help="JSON of the request; with --template, of its context. - reads standard input.",
    ),
]
Template = Annotated[
    str | None,
    typer.Option(
        "--template",
        "-t",
        help="[NAMESPACE/]NAME[@VERSION]; FILE is the context then.",
        autocompletion=complete_plan,
    ),
]
Key = Annotated[str | None, typer.Option("--key", help="Idempotency key: the same key is the same task.")]
Reason = Annotated[str | None, typer.Option("--reason", help="Why; kept with the task.")]
Wait = Annotated[bool, typer.Option("--wait", help="Wait for the task's end and print its output.")]
Timeout = Annotated[
    float | None, typer.Option("--timeout", min=0, help="Seconds to wait. Default: for ever.")
]


def submit(
    file: File = Path("-"),
    *,
    template: Template = None,
    key: Key = None,
    reason: Reason = None,
    wait: Wait = False,
    timeout: Timeout = None,
    as_json: AsJson = False,
) -> None:
    """Send a task request; prints the task's id once the broker has it.

    With --wait it prints the task's output; exit code 1 when the request is rejected or the task ends otherwise than
    complete, 5 when it takes longer than --timeout.
    """
    from tasker_kafka.deploy.request_files import read_request

    data = sys.stdin.buffer.read() if str(file) == "-" else file_bytes(file)
    given: dict[str, Any] = {"idempotency_key": key, "reason": reason, "initiator": current_actor()}
    request = read_request(data, source=str(file), template=template, given=given)

    async def work(session: Session) -> dict[str, Any]:
        from tasker_kafka.topics.client import TaskClient

        async with TaskClient(session.log, session.names, actor=current_actor()) as client:
            return await send(client, request)

    async def send(client: TaskClient, request: TaskRequest) -> dict[str, Any]:
        handle = await client.send(request)
        if not wait:
            return {"task_id": handle.id}
        if not as_json:
            note(handle.id)
        return await outcome(handle, timeout)

    report(run(in_session(work)), as_json=as_json)


def report(found: dict[str, Any], *, as_json: bool) -> None:
    """Print what is known of the task; exit code 1 when it was waited for and is not complete."""
    is_failed = found.get("state", "complete") != "complete"
    if as_json:
        print_json(found)
    elif "state" not in found:
        print_text(found["task_id"])
    elif is_failed:
        error = found["error"]
        note(f"error: {found['state']}: {error['message']}")
        if error["way_out"]:
            note(f"  → {error['way_out']}")
    else:
        print_json(found["output"])
    if is_failed:
        raise typer.Exit(CommandExit.REFUSED)


def file_bytes(path: Path) -> bytes:
    """The bytes of a file. ConfigurationError when it cannot be read."""
    from tasker_kafka.schemas.errors import ConfigurationError

    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigurationError(
            f"{path} cannot be read: {error.strerror or error}.",
            next_step="Check the path, or give - for standard input.",
        ) from None


async def outcome(handle: TaskHandle, timeout: float | None) -> dict[str, Any]:
    """How a task ended, or that its request was rejected. WaitTimeout as of `TaskHandle.result`."""
    from tasker_kafka.schemas.errors import RequestRejected, TaskFailed

    try:
        output = await handle.result(timeout)
    except RequestRejected as error:
        return ended(handle, "rejected", error=error)
    except TaskFailed as error:
        return ended(handle, error.state, error=error)
    return ended(handle, "complete", output=output)


def ended(
    handle: TaskHandle, state: str, *, output: Any = None, error: RequestRejected | TaskFailed | None = None
) -> dict[str, Any]:
    """The JSON of an outcome."""
    told = error and {"code": error.code, "message": error.message, "way_out": error.next_step}
    return {"task_id": handle.id, "state": state, "output": output, "error": told}
