"""`tasker subscriber`: serve domain events to subscribers, or see beforehand what would be served."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from . import session
from .console import print_json, print_table
from .exits import CommandExit
from .options import AsJson
from .run_roles import LogLevel, start
from .subscriber_list import forget_group, list_groups, show_group

__all__ = ["subscriber_app"]

subscriber_app = typer.Typer(
    help="Subscribers of domain events: serve them, see what would be served, or how far groups are."
)

Modules = Annotated[
    list[str], typer.Option("--module", "-m", help="Module that holds subscribers; repeatable.")
]
Files = Annotated[
    list[Path], typer.Option("--config", "-c", help="Subscriptions file (`event_subscriptions`); repeatable.")
]
Groups = Annotated[
    list[str], typer.Option("--group", "-g", help="Group to serve; repeatable. Default: all that are found.")
]


@subscriber_app.callback(invoke_without_command=True)
def subscriber(
    context: typer.Context,
    *,
    module: Modules = [],  # noqa: B006 - typer copies it
    config: Files = [],  # noqa: B006 - typer copies it
    group: Groups = [],  # noqa: B006 - typer copies it
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
    from tasker_kafka.deploy.subscribing import Wanted, run_group_processes, run_subscriber_role

    wanted = Wanted(modules=tuple(module), files=tuple(config), groups=tuple(group))
    if process_per_group:
        raise typer.Exit(CommandExit(run_group_processes(wanted, log_level=log_level)))
    run_subscriber_role(lambda: session.connect(settings), settings, wanted)


@subscriber_app.command("check")
def check(
    module: Modules = [],  # noqa: B006 - typer copies it
    config: Files = [],  # noqa: B006 - typer copies it
    group: Groups = [],  # noqa: B006 - typer copies it
    as_json: AsJson = False,
) -> None:
    """Which groups would be served, with which subscriptions; needs no broker. Whatever is wrong is told."""
    from tasker_kafka.deploy.subscribing import Wanted, load_wanted, rows_of

    rows = rows_of(load_wanted(Wanted(modules=tuple(module), files=tuple(config), groups=tuple(group))))
    if as_json:
        import msgspec

        print_json({"subscriptions": msgspec.to_builtins(rows)})
        return
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
