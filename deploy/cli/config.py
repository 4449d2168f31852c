"""`tasker config`: what is set, whether it is valid, what a setting means and where its value came from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from .console import print_json, print_table, print_text
from .options import AsJson

if TYPE_CHECKING:
    from tasker_kafka.schemas.settings import Explanation

__all__ = ["app"]

app = typer.Typer(help="Settings: TOML files, then TASKER_… variables.", no_args_is_help=True)


@app.command()
def show(as_json: AsJson = False) -> None:
    """Every setting's value and where it came from; secrets stay hidden."""
    from tasker_kafka.schemas.settings import keys, load_settings
    from tasker_kafka.schemas.settings import show as shown

    settings = load_settings()
    values = shown(settings)
    if as_json:
        print_json({"environment": settings.environment, "settings": values})
        return
    print_table(
        ("setting", "value", "from"),
        [(key, text(values[key]), settings.origin(key)) for key in keys()],
        title=f"environment {settings.environment}",
    )


@app.command()
def validate(as_json: AsJson = False) -> None:
    """Check the settings; exit code 78 with every fault and its place when they are not valid."""
    from tasker_kafka.schemas.settings import load_settings

    settings = load_settings()
    if as_json:
        print_json({"environment": settings.environment, "valid": True})
    else:
        print_text(f"the settings of environment {settings.environment} are valid")


@app.command()
def explain(
    key: Annotated[str, typer.Argument(metavar="KEY", help="A setting or a section, as engine.ordinal.")],
    as_json: AsJson = False,
) -> None:
    """Meaning, default, what zero means, the value and where it came from."""
    from tasker_kafka.schemas.settings import explain as explained
    from tasker_kafka.schemas.settings import load_settings

    found = explained(load_settings(), key)
    if as_json:
        from tasker_kafka.deploy.reading.jsonform import jsonable

        print_json({"settings": jsonable(found)})
        return
    print_text("\n\n".join("\n".join(lines(each)) for each in found))


def lines(each: Explanation) -> list[str]:
    """One setting for people."""
    return [
        each.key,
        f"  {each.meaning}",
        f"  kind      {each.kind}",
        f"  default   {text(each.default)}",
        *([] if each.zero is None else [f"  zero      {each.zero}"]),
        f"  value     {text(each.value)}  (from {each.origin})",
        f"  variable  {each.variable}",
    ]


def text(value: Any) -> str:
    """A value as people write it."""
    if value is None:
        return "not set"
    if isinstance(value, bool):
        return str(value).lower()
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
