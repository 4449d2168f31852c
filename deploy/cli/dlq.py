"""`tasker dlq`: dead letters, and what an operator does about them."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from . import dlq_options as which
from .console import note, print_json, print_table
from .dlq_acts import purge, redrive
from .guard import run
from .helping import examples
from .options import AsJson, Limit
from .session import Session, in_session
from .spreading import spread

if TYPE_CHECKING:
    from tasker_kafka.deploy.reading.dead_letters import LetterPage, LetterReport

__all__ = ["app"]

app = typer.Typer(help="Dead letters: events that a subscriber could not take.", no_args_is_help=True)


class State(StrEnum):
    """As `LetterState`, and all of them."""

    OPEN = "open"
    REDRIVEN = "redriven"
    PURGED = "purged"
    ACKNOWLEDGED = "acknowledged"
    ALL = "all"

    def states(self) -> frozenset[str]:
        """Those that are meant."""
        return frozenset(each.value for each in State if self in (each, State.ALL) and each is not State.ALL)


@app.command("list")
@spread
def list_letters(
    letters: which.LetterOptions,
    state: Annotated[State, typer.Option("--state", help="Letters in this state.")] = State.OPEN,
    limit: Limit = 50,
    before: Annotated[
        str | None, typer.Option("--before", help="The page after the one that said so.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """The newest dead letters, secrets hidden."""

    async def work(session: Session) -> LetterPage:
        from tasker_kafka.deploy.reading.dead_letters import list_letters as read

        wanted = letters.filter(session.log.now_ms(), state.states())
        return await read(session.log, session.names, wanted, limit=limit, before=before)

    page = run(in_session(work))
    if as_json:
        from tasker_kafka.deploy.reading import jsonable

        print_json(jsonable(page))
        return
    from .dlq_views import COLUMNS, columns

    print_table(COLUMNS, map(columns, page.letters), empty="no dead letters")
    if page.next is not None:
        note(f"more: --before {page.next}")


@app.command()
def show(
    place: which.Place,
    raw: Annotated[bool, typer.Option("--raw", help="With the original bytes, secrets included.")] = False,
    save: Annotated[
        Path | None,
        typer.Option(
            "--save", help="Write the payload, secrets included, to this new file, to edit it for a redrive."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """One dead letter: the event, why it died, and what was done about it; secrets hidden."""

    async def work(session: Session) -> tuple[LetterReport, bytes | None]:
        from tasker_kafka.deploy.reading.dead_letters import read_letter, read_payload

        report = await read_letter(session.log, session.names, place, raw=raw)
        return report, None if save is None else await read_payload(session.log, session.names, place)

    report, payload = run(in_session(work))
    if save is not None and payload is not None:
        write_privately(save, payload)
        note(f"the payload is in {save}, readable by you alone")
    from tasker_kafka.deploy.reading import jsonable

    if as_json:
        print_json(jsonable(report))
        return
    from .dlq_views import print_letter

    print_letter(report)


app.command(
    epilog=examples(
        "tasker dlq redrive --group billing --class timeout --dry-run",
        "tasker dlq redrive shop.dlq/0:17 --set amount=12.5 --reason 'typing error'",
    )
)(spread(redrive))
app.command()(spread(purge))


def write_privately(path: Path, data: bytes) -> None:
    """A new file that only its owner may read. ConfigurationError when it cannot be made."""
    import os

    from tasker_kafka.schemas.errors import ConfigurationError

    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(data)
    except OSError as error:
        raise ConfigurationError(
            f"{path} cannot be written: {error.strerror}",
            next_step="name a file that does not exist yet, in a folder of your own",
        ) from None
