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
from .helping import examples
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


app.command(epilog=examples("tasker dev", "tasker dev --module shop --templates templates --reload"))(dev)
app.add_typer(broker.app, name="broker")
app.add_typer(topics.app, name="topics")
app.command()(run_roles.orchestrator)
app.add_typer(run_roles.worker_app, name="worker")
app.add_typer(subscriber.subscriber_app, name="subscriber")
app.add_typer(console_role.app, name="console")
app.command(
    epilog=examples(
        "tasker submit request.json",
        "tasker submit cart.json --template shop/order --key cart-17 --wait --timeout 30",
        "echo '{}' | tasker submit --template dummy",
    )
)(submit)
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
app.command("verify-rebuild", epilog=examples("tasker verify-rebuild", "tasker verify-rebuild --projection"))(
    verify_rebuild
)
app.command(
    "as-of",
    context_settings=TAKES_MINUS,
    epilog=examples(
        "tasker as-of 2h",
        "tasker as-of 2026-01-31T09:30Z --state error --tag vip",
        "tasker as-of @153 0197f3c8-7a1e-7c3b-9d7e-2f1a5b6c7d8e",
    ),
)(as_of)
app.command(
    "diff",
    context_settings=TAKES_MINUS,
    epilog=examples("tasker diff 2h now", "tasker diff @0:153,1:98 now --kind closed --state error"),
)(diff)
app.command(
    "what-if",
    epilog=examples(
        "tasker what-if checkout.yaml --since 7d",
        "tasker what-if shop/checkout@2.0.0 --since 7d --version 1.4.0 --assume failure",
    ),
)(what_if)
app.command()(doctor)
