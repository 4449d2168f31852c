"""`tasker projection`: fill the store that lists, searches and the console read, see how far it is, make it anew."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from . import session
from .console import note, print_json, print_table, print_text
from .exits import CommandExit
from .guard import run
from .options import AsJson
from .progress import Progress
from .run_roles import LogLevel, start
from .session import Session, in_session

if TYPE_CHECKING:
    from tasker_kafka.deploy.projecting import ProjectionStatus
    from tasker_kafka.streams.projection import Rebuilt

__all__ = ["app"]

app = typer.Typer(
    help="The store behind lists, searches and the console; made from the log, and disposable.",
    no_args_is_help=True,
)


@app.command("run")
def run_role(log_level: LogLevel = "INFO") -> None:
    """Project the log into the store of `projection.url` until told to stop.

    Several may run on one PostgreSQL store; they share its partitions. `tasker console` brings one along.
    """
    settings = start(log_level)
    from tasker_kafka.deploy.projecting import run_projection_role

    run_projection_role(lambda: session.connect(settings), settings)


@app.command()
def status(
    max_seconds: Annotated[
        float | None,
        typer.Option(
            "--max-seconds", min=0, help="Exit code 1 if it is further behind than this, or unknown."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """How far the store is behind the log, per partition, in records and in seconds; and what could not be read."""
    from tasker_kafka.deploy.projecting import read_status
    from tasker_kafka.deploy.wiring import apply_to_process
    from tasker_kafka.schemas.settings import load_settings

    settings = load_settings()
    apply_to_process(settings)
    found = run(read_status(lambda: session.connect(settings), settings))
    if as_json:
        print_json(json_of(found))
    else:
        print_status(found)
    if max_seconds is not None and (found.delays is None or found.seconds > max_seconds):
        raise typer.Exit(CommandExit.REFUSED)


@app.command()
def rebuild(
    in_place: Annotated[
        bool,
        typer.Option(
            "--in-place",
            help="Empty the store and fill it again, instead of a second one that takes its place.",
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Make the store anew from the log. Who reads sees the old one until the new one is whole; a projector may run."""

    async def work(session: Session) -> Rebuilt:
        from tasker_kafka.deploy.projecting import rebuild_store

        with Progress(is_wanted=not as_json) as bar:
            return await rebuild_store(
                session.log,
                session.settings,
                in_place=in_place,
                progress=lambda done, whole: bar.show("records", done, whole),
            )

    found = run(in_session(work))
    if as_json:
        from tasker_kafka.deploy.reading import jsonable

        print_json(jsonable(found))
        return
    rate = found.records / found.seconds if found.seconds else 0.0
    print_text(f"rebuilt from {found.records} records in {found.seconds:.1f} s ({rate:.0f}/s)")
    if found.faults:
        note(f"{found.faults} records could not be projected; see `tasker projection status`")


def json_of(found: ProjectionStatus) -> dict[str, object]:
    """The document of `--json`."""
    from tasker_kafka.deploy.reading import jsonable

    is_known = found.delays is not None
    return {
        "store": found.place,
        "records_behind": found.records if is_known else None,
        "seconds_behind": found.seconds if is_known else None,
        "failure": found.failure,
        "partitions": jsonable(found.delays or ()),
        "faults": jsonable(found.faults),
    }


def print_status(found: ProjectionStatus) -> None:
    """A row per partition that is read, and the newest faults."""
    from tasker_kafka.deploy.reading import time_text

    print_text(f"store  {found.place}")
    if found.delays is None:
        print_text(f"how far it is behind is not known: {found.failure}")
    else:
        print_table(
            ("topic", "partition", "next", "end", "behind", "seconds"),
            [
                (
                    each.topic,
                    str(each.partition),
                    str(each.next_offset),
                    str(each.end_offset),
                    str(each.records),
                    f"{each.seconds:.1f}",
                )
                for each in found.delays
            ],
        )
        print_text(f"{found.records} records, {found.seconds:.1f} s behind")
    if found.faults:
        print_table(
            ("at", "record", "fault"),
            [
                (time_text(each.at), f"{each.topic}/{each.partition}:{each.offset}", each.message)
                for each in found.faults
            ],
            title="records that could not be projected",
        )
