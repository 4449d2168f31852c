"""`tasker subscriber`: serve domain events to subscribers, or see beforehand what would be served."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from . import session
from .completing import complete_group
from .console import note, print_json, print_table
from .exits import CommandExit
from .options import AsJson
from .run_roles import LogLevel, start
from .subscriber_list import forget_group, list_groups, show_group

if TYPE_CHECKING:
    from tasker_kafka.deploy.subscribing import ServedRow, Wanted

__all__ = ["subscriber_app"]

subscriber_app = typer.Typer(
    help="Subscribers of domain events: serve them, see what would be served, or how far groups are."
)

Modules = Annotated[
    list[str] | None, typer.Option("--module", "-m", help="Module that holds subscribers; repeatable.")
]
Files = Annotated[
    list[Path] | None,
    typer.Option("--config", "-c", help="Subscriptions file (`event_subscriptions`); repeatable."),
]
Groups = Annotated[
    list[str] | None,
    typer.Option(
        "--group",
        "-g",
        help="Group to serve; repeatable. Default: all that are found.",
        autocompletion=complete_group,
    ),
]


@subscriber_app.callback(invoke_without_command=True)
def subscriber(
    context: typer.Context,
    *,
    module: Modules = None,
    config: Files = None,
    group: Groups = None,
    process_per_group: Annotated[
        bool,
        typer.Option(
            "--process-per-group",
            help="Each group in a process of its own, started again when it ends: none can stop another.",
        ),
    ] = False,
    log_level: LogLevel = "INFO",
) -> None:
    """Serve subscribers until told to stop: `tasker subscriber -m MODULE`, `--config FILE`, or both."""
    if context.invoked_subcommand is not None:
        return
    if not module and not config:
        raise typer.BadParameter("give a module or a subscriptions file", param_hint="--module")
    settings = start(log_level)
    from tasker_kafka.deploy.subscribing import run_group_processes, run_subscriber_role

    wanted = wanted_of(module, config, group)
    if process_per_group:
        raise typer.Exit(CommandExit(run_group_processes(wanted, log_level=log_level)))
    run_subscriber_role(lambda: session.connect(settings), settings, wanted)


@subscriber_app.command("check")
def check(
    module: Modules = None,
    config: Files = None,
    group: Groups = None,
    templates: Annotated[
        list[Path] | None,
        typer.Option("--templates", "-t", help="Template files or folders that have to declare the events."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Which groups would be served, with which subscriptions; needs no broker. Whatever is wrong is told.

    With --templates the exit code is 1 when a subscription waits for an event that none of them declares.
    """
    from tasker_kafka.deploy.subscribing import load_wanted, rows_of, unheard_of_files

    specs = load_wanted(wanted_of(module, config, group))
    warnings = unheard_of_files(specs, templates) if templates else []
    show_rows(rows_of(specs), warnings, as_json=as_json)
    if warnings:
        raise typer.Exit(CommandExit.REFUSED)


def wanted_of(modules: list[str] | None, files: list[Path] | None, groups: list[str] | None) -> Wanted:
    """What the options say is to be served."""
    from tasker_kafka.deploy.subscribing import Wanted

    return Wanted(modules=tuple(modules or ()), files=tuple(files or ()), groups=tuple(groups or ()))


def show_rows(rows: list[ServedRow], warnings: list[str], *, as_json: bool) -> None:
    """Print what `check` has found."""
    if as_json:
        import msgspec

        print_json({"subscriptions": msgspec.to_builtins(rows), "warnings": warnings})
        return
    for each in warnings:
        note(f"warning: {each}")
    print_table(
        ("group", "subscription", "events", "delivery", "payload", "handler"),
        [
            (row.group, row.subscription, ", ".join(row.events), row.delivery, row.payload, row.handler)
            for row in rows
        ],
    )


subscriber_app.command("list")(list_groups)
subscriber_app.command("show")(show_group)
subscriber_app.command("forget")(forget_group)
