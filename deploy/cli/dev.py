"""`tasker dev`: a broker, the topics, an orchestrator, a worker, subscribers and the console in one terminal."""

from __future__ import annotations

import asyncio
import importlib
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from . import session

if TYPE_CHECKING:
    from tasker_kafka.deploy.read_side import ReadSide
    from tasker_kafka.schemas.settings import Settings

__all__ = ["dev"]

USUAL_PORT = 9092
EXAMPLES = "tasker_kafka.deploy.examples"
EXAMPLE_COMMAND = "echo '{}' | tasker submit --wait --template default/dummy"
COLOURS = {
    "dev": "36",
    "orchestrator": "35",
    "worker": "32",
    "subscriber": "33",
    "projector": "34",
    "console": "34",
}


Modules = Annotated[
    list[str] | None,
    typer.Option(
        "--module", "-m", help="Module of step handlers, of subscribers, or both. Default: the examples."
    ),
]
Templates = Annotated[
    list[Path] | None,
    typer.Option("--templates", "-t", help="Template files, or folders of them; repeatable."),
]
Files = Annotated[
    list[Path] | None,
    typer.Option("--config", "-c", help="Subscriptions file (`event_subscriptions`); repeatable."),
]


def dev(
    *,
    module: Modules = None,
    templates: Templates = None,
    config: Files = None,
    reload: Annotated[
        bool, typer.Option("--reload", help="Watch modules and templates; start the worker anew on a change.")
    ] = False,
    console: Annotated[
        bool, typer.Option("--console/--no-console", help="Run projector and console, too.")
    ] = True,
    open_console: Annotated[
        bool, typer.Option("--open", help="Show the console in the browser once it answers.")
    ] = False,
    log_level: Annotated[str, typer.Option("--log-level", help="Of the roles.")] = "INFO",
) -> None:
    """Run everything on this machine until Ctrl-C: broker, topics, orchestrator, worker, subscribers, console.

    TASKER_BROKER, or your own running broker, is used where there is one; otherwise a broker is started, with empty
    topics, and removed at the end.
    """
    from tasker_kafka.deploy.dev import DevSystem, Wanted
    from tasker_kafka.deploy.handler_checks import roles_of
    from tasker_kafka.deploy.wiring import apply_to_process
    from tasker_kafka.schemas.settings import load_settings

    modules, paths = chosen(module or [], templates or [])
    subscriptions = config or []
    # What is wrong with a module is told before a broker is started.
    handlers, subscribers = roles_of(modules, subscriptions)
    with ExitStack() as opened:
        address, is_temporary = opened.enter_context(broker(load_settings()))
        environment = {**os.environ, "TASKER_BROKER": address, "PYTHONUNBUFFERED": "1"}
        os.environ["TASKER_BROKER"] = address
        settings = load_settings()
        apply_to_process(settings)
        side = opened.enter_context(read_side(settings, is_temporary=is_temporary)) if console else None
        wanted = Wanted(
            handlers, tuple(paths), reload, log_level, subscribers, tuple(subscriptions), side, open_console
        )
        system = DevSystem(settings, wanted, lambda: session.connect(settings), environment, say)
        say_where(address, modules)
        code = asyncio.run(system.run())
    if code:
        raise typer.Exit(code)


def say_where(address: str, modules: list[str]) -> None:
    """What somebody needs to know in another terminal."""
    say("dev", f"broker {address}")
    if address != session.USUAL_ADDRESS:
        say("dev", f"in other terminals: export TASKER_BROKER={address}")
    if EXAMPLES in modules:
        say("dev", f"then try: {EXAMPLE_COMMAND}")


def chosen(modules: list[str], templates: list[Path]) -> tuple[list[str], list[Path]]:
    """The modules and templates that were asked for, or the examples."""
    if modules:
        return modules, templates
    found = importlib.import_module(EXAMPLES)
    return [EXAMPLES], templates or [Path(str(found.__file__)).parent]


@contextmanager
def read_side(settings: Settings, *, is_temporary: bool) -> Iterator[ReadSide | None]:
    """Where the console will be; None, and said so, where it is not installed. `is_temporary`: so is the broker."""
    from tasker_kafka.deploy.read_side import MISSING, ReadSide, is_installed

    if not is_installed():
        say("dev", MISSING)
        yield None
    elif is_temporary:
        # The broker takes its tasks along when it goes; what was projected of them must not outlive them.
        with tempfile.TemporaryDirectory(prefix="tasker-dev-") as folder:
            yield ReadSide.of(settings, Path(folder, "projection.sqlite"))
    else:
        yield ReadSide.of(settings)


@contextmanager
def broker(settings: Settings) -> Iterator[tuple[str, bool]]:
    """The address of the broker to use, and whether it lives only as long as the block."""
    from tasker_kafka.topics.brokers import EmbeddedBroker, status_detached
    from tasker_kafka.topics.brokers.wire import is_free

    own = status_detached()
    if settings.broker.bootstrap is not None:
        yield settings.broker.bootstrap, False
    elif own is not None:
        yield own.bootstrap_servers, False
    else:
        with EmbeddedBroker.start(port=USUAL_PORT if is_free(USUAL_PORT) else None) as started:
            yield started.bootstrap_servers, True


def say(name: str, line: str) -> None:
    """One line of a role, with its name before it."""
    label = f"{name:<12}"
    if sys.stdout.isatty():
        label = f"\033[{COLOURS[name]}m{label}\033[0m"
    print(f"{label} {line}", flush=True)
