"""`tasker schemas`: are newer versions of events' schemas ones that older events survive?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .console import print_json, print_text
from .exits import CommandExit
from .findings import finding_shape
from .options import AsJson
from .template import Environment

if TYPE_CHECKING:
    from tasker_kafka.deploy.event_schemas import SchemaCheck

__all__ = ["app"]

app = typer.Typer(help="Schemas of events, and their kept versions.", no_args_is_help=True)

USUAL_PATH = Path("templates")
USUAL_FOLDER = Path("event-schemas")


@app.callback()
def group() -> None:
    """Schemas of events, and their kept versions."""


@app.command()
def check(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(metavar="PATH", help="Template files, or folders of them. Default: templates."),
    ] = None,
    folder: Annotated[
        Path, typer.Option("--folder", help="Where released versions are kept.")
    ] = USUAL_FOLDER,
    write: Annotated[
        bool, typer.Option("--write", help="Keep declared versions that are not kept yet.")
    ] = False,
    *,
    strict: Annotated[
        bool, typer.Option("--strict", help="Take it that events hold properties that no schema names.")
    ] = False,
    allow_undecided: Annotated[
        bool, typer.Option("--allow-undecided", help="Warn, instead of refusing, where nobody can decide.")
    ] = False,
    environment: Environment = None,
    as_json: AsJson = False,
) -> None:
    """Compare every version of each event's schema with all older ones; exit code 1 when one cannot be read."""
    from tasker_kafka.deploy.event_schemas import check_events, declared_events, write_versions
    from tasker_kafka.deploy.template_files import load_plans
    from tasker_kafka.schemas.settings import load_settings

    plans = load_plans(paths or [USUAL_PATH], load_settings(), environment=environment)
    found = check_events(declared_events(plans), folder, is_open=strict, is_undecided_allowed=allow_undecided)
    report(found, write_versions(found) if write and not found.has_errors else [], as_json)


def report(found: SchemaCheck, written: list[Path], as_json: bool) -> None:
    """Print what was found and kept; exit code 1 when something is to be mended."""
    findings = [each for each in found.findings if not (written and each.code == "not_kept")]
    if as_json:
        shapes = [finding_shape(each) for each in findings]
        print_json({"checked": found.checked, "written": [str(path) for path in written], "findings": shapes})
    else:
        lines = [*(f"kept {path}" for path in written), *(f"{each.severity}: {each}" for each in findings)]
        print_text("\n".join(lines) or f"{found.checked} versions, and every newer one reads the older ones")
    if any(each.severity == "error" for each in findings):
        raise typer.Exit(CommandExit.REFUSED)
