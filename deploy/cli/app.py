"""The one Typer application: every command and group in the order in which `tasker --help` shows them."""

from __future__ import annotations

from typing import Annotated

import typer

from . import (
    broker,
    catalog,
    config,
    console_role,
    dlq,
    generate,
    projection,
    receipts,
    rejections,
    run_roles,
    schemas_check,
    stale,
    step,
    subscriber,
    task,
    template,
    topics,
)
from .as_of import as_of
from .console import print_text
from .dev import dev
from .diff import diff
from .doctor import doctor
from .guard import GuardedGroup
from .init import init
from .moments import TAKES_MINUS
from .submit import submit
from .verify_rebuild import verify_rebuild
from .what_if import what_if

__all__ = ["app"]

app = typer.Typer(
    cls=GuardedGroup,
    help="Tasker on Kafka: durable workflows whose only database is the log.",
    no_args_is_help=True,
    # Plain help: the rich one costs a quarter of a second at every start.
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


def show_version(wanted: bool) -> None:
    """Print the version and end."""
    if wanted:
        from tasker_kafka import __version__

        print_text(f"tasker {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=show_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """What holds for every command: TASKER_BROKER (bootstrap servers) and TASKER_PREFIX say which system is meant."""


app.command()(dev)
app.add_typer(broker.app, name="broker")
app.add_typer(topics.app, name="topics")
app.command()(run_roles.orchestrator)
app.add_typer(run_roles.worker_app, name="worker")
app.add_typer(subscriber.subscriber_app, name="subscriber")
app.add_typer(console_role.app, name="console")
app.command()(submit)
app.add_typer(task.app, name="task")
app.add_typer(step.app, name="step")
app.add_typer(template.app, name="template")
app.add_typer(rejections.app, name="rejections")
app.add_typer(stale.app, name="stale")
app.add_typer(dlq.app, name="dlq")
app.add_typer(receipts.app, name="receipts")
app.add_typer(catalog.app, name="catalog")
app.add_typer(projection.app, name="projection")
app.add_typer(config.app, name="config")
app.command()(init)
app.add_typer(generate.app, name="generate")
app.add_typer(schemas_check.app, name="schemas")
app.command("verify-rebuild")(verify_rebuild)
app.command("as-of", context_settings=TAKES_MINUS)(as_of)
app.command("diff", context_settings=TAKES_MINUS)(diff)
app.command("what-if")(what_if)
app.command()(doctor)
