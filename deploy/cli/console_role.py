"""`tasker console`: the HTTP API and the pages, with the projection that they read."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Annotated

import typer

from . import session
from .console import note, print_text
from .exits import CommandExit
from .run_roles import LogLevel, start

__all__ = ["app"]

app = typer.Typer(
    help="The console: HTTP API and pages, at http://127.0.0.1:8080 unless settings say otherwise."
)

NEEDED = ("fastapi", "nicegui", "prometheus_client", "sqlalchemy", "sse_starlette", "uvicorn")


@app.callback(invoke_without_command=True)
def console(
    context: typer.Context,
    host: Annotated[str | None, typer.Option(help="Address to listen on. Default: console.host.")] = None,
    port: Annotated[
        int | None, typer.Option(min=0, max=65_535, help="Port; 0 is any free one. Default: console.port.")
    ] = None,
    projection: Annotated[
        bool,
        typer.Option(
            "--projection/--no-projection",
            help="Run the projection beside it; not where others fill a shared PostgreSQL store.",
        ),
    ] = True,
    log_level: LogLevel = "INFO",
) -> None:
    """Serve the API and the pages until told to stop."""
    if context.invoked_subcommand is not None:
        return
    require_extra()
    settings = start(log_level)
    from tasker_kafka.deploy.console.serve import run_console
    from tasker_kafka.schemas.errors import ConfigurationError
    from tasker_kafka.schemas.settings.console import ConsoleSettings

    given = {name: value for name, value in (("host", host), ("port", port)) if value is not None}
    try:
        wanted = ConsoleSettings.model_validate({**settings.console.model_dump(), **given})
    except ValueError as error:
        text = "; ".join(str(each["msg"]) for each in getattr(error, "errors", list)())
        raise ConfigurationError(
            text or str(error), next_step="see `tasker config explain console`"
        ) from None
    settings = settings.model_copy(update={"console": wanted})
    code = run_console(
        lambda: session.connect(settings), settings, with_projection=projection, log_level=log_level
    )
    raise typer.Exit(CommandExit(code))


@app.command()
def openapi(
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="File to write; default standard output.")
    ] = None,
) -> None:
    """Print the API's description (OpenAPI 3.1)."""
    require_extra()
    from tasker_kafka.deploy.console.api.openapi import openapi_text

    text = openapi_text()
    if output is None:
        print_text(text)
        return
    output.write_text(text, encoding="utf-8")
    note(f"{output} is written")


def require_extra() -> None:
    """ConfigurationError where the console's libraries are not installed."""
    from tasker_kafka.schemas.errors import ConfigurationError

    missing = [each for each in NEEDED if importlib.util.find_spec(each) is None]
    if missing:
        raise ConfigurationError(
            f"the console needs {', '.join(missing)}", next_step="pip install 'tasker-kafka[console]'"
        )
