"""`tasker broker`: the user's own broker, which stays when the command ends."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .console import print_json, print_text
from .exits import CommandExit
from .options import AsJson

if TYPE_CHECKING:
    from tasker_kafka.topics.brokers import DetachedBroker

__all__ = ["app"]

app = typer.Typer(help="A real Kafka on this machine, without a container engine.", no_args_is_help=True)


@app.command()
def start(
    port: Annotated[
        int | None, typer.Option(help="Client port. Default: 9092, or a free one where that is taken.")
    ] = None,
    data_dir: Annotated[
        Path | None, typer.Option(help="Folder of its data. Default: in the user's cache.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Start the broker and return when it answers; one that runs already is left as it is."""
    from tasker_kafka.topics.brokers import start_detached

    report(start_detached(port=port, data_dir=data_dir), as_json, "running")


@app.command()
def stop(as_json: AsJson = False) -> None:
    """Stop the broker. Its data stays and is there at the next start."""
    from tasker_kafka.topics.brokers import stop_detached

    report(stop_detached(), as_json, "stopped")


@app.command()
def status(as_json: AsJson = False) -> None:
    """Say whether the broker runs; exit code 1 when it does not."""
    from tasker_kafka.topics.brokers import status_detached

    broker = status_detached()
    report(broker, as_json, "running")
    if broker is None:
        raise typer.Exit(CommandExit.REFUSED)


def report(broker: DetachedBroker | None, as_json: bool, state: str) -> None:
    """Print what is known of a broker."""
    if as_json:
        print_json(shape(broker, state))
    elif broker is None:
        print_text("no broker of yours is running (tasker broker start starts one)")
    else:
        print_text(f"{state}: {broker.bootstrap_servers} (pid {broker.pid}, data in {broker.data_dir})")


def shape(broker: DetachedBroker | None, state: str) -> dict[str, Any]:
    """The JSON of a broker; everything but `state` is null when there is none."""
    return {
        "state": "absent" if broker is None else state,
        "bootstrap_servers": None if broker is None else broker.bootstrap_servers,
        "pid": None if broker is None else broker.pid,
        "data_dir": None if broker is None else broker.data_dir,
        "log": None if broker is None else str(broker.log_path),
    }
