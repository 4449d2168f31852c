"""`tasker rejections`: what was not accepted, and why."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from .console import moment, print_json, print_table, print_text
from .guard import run
from .options import AsJson, Limit
from .session import Session, in_session

if TYPE_CHECKING:
    from tasker_kafka.deploy.reading import RejectionRow

__all__ = ["app"]

app = typer.Typer(help="Requests and commands that were not accepted.", no_args_is_help=True)


@app.command("list")
def list_rejections(
    code: Annotated[str | None, typer.Option(help="Of this code only, as invalid_context.")] = None,
    limit: Limit = 50,
    as_json: AsJson = False,
) -> None:
    """The newest rejections."""

    async def work(session: Session) -> list[RejectionRow]:
        from tasker_kafka.deploy.reading import list_rejections as read

        return await read(session.log, session.names, limit=limit, code=code)

    rows = run(in_session(work))
    from tasker_kafka.deploy.reading import jsonable

    if as_json:
        print_json({"rejections": jsonable(rows)})
        return
    print_table(
        ("place", "rejected", "code", "template", "message"),
        [(row.place, moment(row.rejected_at), row.code, row.template or "–", row.message) for row in rows],
        empty="no rejections",
    )


@app.command()
def show(
    place: Annotated[str, typer.Argument(metavar="PARTITION:OFFSET", help="As `rejections list` shows it.")],
    raw: Annotated[bool, typer.Option("--raw", help="With the original bytes, secrets included.")] = False,
    as_json: AsJson = False,
) -> None:
    """One rejection with the original request, secrets hidden."""

    async def work(session: Session) -> RejectionRow:
        from tasker_kafka.deploy.reading import read_rejection

        return await read_rejection(session.log, session.names, place, raw=raw)

    row = run(in_session(work))
    from tasker_kafka.deploy.reading import jsonable

    shown = jsonable(row)
    if as_json:
        print_json(shown)
        return
    at = f" at {row.path}" if row.path else ""
    print_text(f"{row.code}{at}: {row.message}\nsource    {row.source}\nrejected  {shown['rejected_at']}")
    if row.request is not None:
        print_text("request")
        print_json(shown["request"])
    if row.original is not None:
        print_text(f"original  {shown['original']}")
