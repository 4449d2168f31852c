"""`tasker orchestrator` and `tasker worker`: the roles that run for long."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from . import session
from .exits import CommandExit
from .worker_list import list_workers

if TYPE_CHECKING:
    from tasker_kafka.schemas.settings import Settings

__all__ = ["orchestrator", "worker_app"]

SubscriberModules = Annotated[
    list[str] | None,
    typer.Option(
        "--with-subscribers",
        help="Module whose subscribers run beside the worker, in a process of their own; repeatable.",
    ),
]
SubscriberFiles = Annotated[
    list[Path] | None, typer.Option("--config", "-c", help="Subscriptions file for them; repeatable.")
]
LogLevel = Annotated[str, typer.Option("--log-level", help="DEBUG, INFO, WARNING or ERROR.")]


def orchestrator(
    ordinal: Annotated[
        int | None,
        typer.Option(min=0, help="Number among the orchestrators of this host. Default: the first free one."),
    ] = None,
    accept_loss: Annotated[
        bool,
        typer.Option(
            "--accept-loss", help="Take partitions although commands or history are gone; says what is lost."
        ),
    ] = False,
    log_level: LogLevel = "INFO",
) -> None:
    """Run an orchestrator until it is told to stop. As many as there are partitions can share the work.

    It publishes the templates of `templates.paths`, verifies the topics, and refuses to start where they differ.
    """
    settings = start(log_level)
    from tasker_kafka.deploy.roles import run_orchestrator_role

    code = run_orchestrator_role(
        lambda: session.connect(settings),
        settings,
        session.bootstrap_of(settings),
        ordinal=ordinal,
        accept_loss=accept_loss,
    )
    raise typer.Exit(CommandExit(code))


worker_app = typer.Typer(help="Step workers: run one, or list those there are.")


@worker_app.callback(invoke_without_command=True)
def worker(
    context: typer.Context,
    *,
    module: Annotated[
        list[str] | None, typer.Option("--module", "-m", help="Module that holds step handlers; repeatable.")
    ] = None,
    queue: Annotated[
        list[str] | None,
        typer.Option(
            "--queue", "-q", help="Queue to take from; repeatable. Default: those of the handlers' steps."
        ),
    ] = None,
    concurrency: Annotated[int | None, typer.Option(min=1, help="Handlers that run at once.")] = None,
    with_subscribers: SubscriberModules = None,
    config: SubscriberFiles = None,
    log_level: LogLevel = "INFO",
) -> None:
    """Run a step worker until it is told to stop (`tasker worker -m MODULE`), or list workers."""
    if context.invoked_subcommand is not None:
        return
    if not module:
        raise typer.BadParameter("give a module that holds step handlers", param_hint="--module")
    if config and not with_subscribers:
        raise typer.BadParameter("give the modules of its subscribers, too", param_hint="--with-subscribers")
    settings = start(log_level)
    from tasker_kafka.deploy.roles import run_worker_role

    run_worker_role(
        lambda: session.connect(settings),
        settings,
        module,
        queues=queue or (),
        concurrency=concurrency,
        subscriber_modules=with_subscribers or (),
        subscriber_files=config or (),
        log_level=log_level,
    )


worker_app.command("list")(list_workers)


def start(log_level: str) -> Settings:
    """What every role does first: logging, settings, and an eye on the parent where it is a child of ours."""
    from tasker_kafka.deploy.children import end_with_parent, log_as_json
    from tasker_kafka.deploy.logs import LOG_LEVELS, start_logging
    from tasker_kafka.deploy.wiring import apply_to_process
    from tasker_kafka.schemas.settings import load_settings
    from tasker_kafka.topics.garbage import postpone_garbage

    postpone_garbage()
    if log_level.upper() not in LOG_LEVELS:
        raise typer.BadParameter(f"one of {', '.join(LOG_LEVELS)}", param_hint="--log-level")
    start_logging(log_level.upper(), as_json=log_as_json())
    end_with_parent()
    settings = load_settings()
    apply_to_process(settings)
    return settings
