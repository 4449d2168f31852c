"""`tasker dlq redrive` and `tasker dlq purge`: what changes the state of dead letters."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from . import dlq_options as which
from .console import counted, note, print_json, print_table, print_text
from .exits import CommandExit
from .guard import run
from .options import Actor, AsJson, DryRun, Rate, Reason, current_actor
from .progress import Progress
from .session import Session, in_session

if TYPE_CHECKING:
    from tasker_kafka.deploy.reading.dead_letters import LetterRow
    from tasker_kafka.handlers.delivery.letters import DeadLetter
    from tasker_kafka.handlers.delivery.redrive import ActOrder, ActReport, Edit

__all__ = ["purge", "redrive"]

SHOWN = 50
"""Letters that are listed; all are counted."""
NOTED_EACH = 1_000
"""Letters after which a long run says how far it is, where no bar does."""

REDRIVEN = "redriven"

All = Annotated[bool, typer.Option("--all", help="Every open letter, where nothing else says which.")]
Again = Annotated[
    bool, typer.Option("--again", help="Also letters that are redriven, purged or acknowledged already.")
]
Assignments = Annotated[
    list[str] | None,
    typer.Option(
        "--set", help="Set a value of the payload, as amount=12.5 or customer.name=Ann; repeatable."
    ),
]
EditFile = Annotated[
    Path | None,
    typer.Option("--edit", help="JSON file with the new payload of the one letter that is named."),
]
ValueFile = Annotated[
    Path | None,
    typer.Option("--value", help="File with the new value of the one record that is named, byte for byte."),
]
Force = Annotated[
    bool, typer.Option("--force", help="Redrive also what is then not as its event's schema says.")
]


@dataclass(frozen=True)
class Orders:
    """How to act: the options of both commands."""

    every: All = False
    again: Again = False
    dry_run: DryRun = False
    rate: Rate = None
    reason: Reason = ""
    actor: Actor = None
    as_json: AsJson = False


@dataclass(frozen=True)
class Change:
    """What a redrive changes."""

    assignments: Assignments = None
    edit: EditFile = None
    value: ValueFile = None
    force: Force = False


def redrive(
    letters: which.LetterOptions, change: Change, orders: Orders, places: which.Places = None
) -> None:
    """Hand dead letters to their own group again, each lane in its original order. The source stays untouched."""
    from tasker_kafka.handlers.delivery.redrive import redrive as act

    edit = edit_of(change, places)
    Run(act, REDRIVEN, letters, places, orders=orders, edit=edit, force=change.force).do()


def purge(letters: which.LetterOptions, orders: Orders, places: which.Places = None) -> None:
    """Give dead letters up: they are open no more. Their bytes stay until the queue's retention takes them."""
    from tasker_kafka.handlers.delivery.redrive import purge as act

    Run(act, "purged", letters, places, orders=orders).do()


class Run:
    """One run of either command."""

    def __init__(
        self,
        act: Callable[..., Awaitable[ActReport]],
        word: str,
        letters: which.LetterOptions,
        places: list[str] | None,
        *,
        orders: Orders,
        edit: Edit | None = None,
        force: bool = False,
    ) -> None:
        self._act = act
        self._letters = letters
        self._places = places
        self._orders = orders
        self._edit = edit
        self._force = force
        self._seen = Seen(word)

    def do(self) -> None:
        """Act on the letters that are meant, and say so. Exit code 1 when letters were named and none is open."""
        orders, seen = self._orders, self._seen
        if not (orders.every or self._places or self._letters.says_anything):
            raise typer.BadParameter(
                "say which letters are meant: a place, a filter, or --all", param_hint="PLACE"
            )
        report = run(in_session(self._work))
        if orders.as_json:
            print_json(document(report, orders, seen.rows))
        else:
            print_report(report, orders, seen.word, seen.rows)
        if report.skipped and not report.letters:
            raise typer.Exit(CommandExit.REFUSED)

    async def _work(self, session: Session) -> ActReport:
        """On a connection. Interrupted, it says how far it came."""
        from tasker_kafka.handlers.delivery.letters import LetterState

        orders, seen = self._orders, self._seen
        states = frozenset(each.value for each in LetterState) if orders.again else None
        wanted = self._letters.filter(session.log.now_ms(), states, self._places)
        order = await self._order(session)
        try:
            with Progress(is_wanted=not orders.as_json) as bar:
                seen.bar = bar
                report = await self._act(session.log, session.names, wanted, order, progress=seen.take)
        except BaseException:
            if seen.count and not orders.dry_run:
                note(f"{counted(seen.count, 'letter')} {seen.word} before that")
            raise
        if seen.word == REDRIVEN:
            await tell_who_is_away(session, report)
        return report

    async def _order(self, session: Session) -> ActOrder:
        """As `handlers.delivery.redrive` takes it."""
        from tasker_kafka.handlers.delivery.edit_check import edit_check
        from tasker_kafka.handlers.delivery.redrive import ActOrder

        orders, check = self._orders, None
        if self._edit is not None and not self._force and await has_templates(session):
            async with session.plans() as store:
                check = edit_check(store.all())
        return ActOrder(
            actor=orders.actor or current_actor(),
            reason=orders.reason,
            per_second=orders.rate,
            edit=self._edit,
            check=check,
            is_dry_run=orders.dry_run,
        )


async def has_templates(session: Session) -> bool:
    """Whether there is a topic of templates; subscribers work without, and then nothing is known of schemas."""
    return session.names.templates in await session.log.admin().names()


async def tell_who_is_away(session: Session, report: ActReport) -> None:
    """A group that nobody serves takes redriven events later, if it comes back in time."""
    for group in sorted(report.groups):
        if not await session.log.admin().group_members(session.names.subscriber_group(group)):
            note(
                f"nobody serves {group} now: what is redriven waits for it, as long as its retry topics keep records"
            )


class Seen:
    """The first letters that were acted on, and how many there were."""

    def __init__(self, word: str) -> None:
        self.word = word
        self.count = 0
        self.rows: list[LetterRow] = []
        self.bar = Progress(is_wanted=False)

    def take(self, letter: DeadLetter) -> None:
        """One more."""
        from tasker_kafka.deploy.reading.dead_letters import letter_row

        self.count += 1
        if len(self.rows) < SHOWN:
            self.rows.append(letter_row(letter))
        self.bar.show("letters", self.count, None)
        if not (self.bar.is_drawn or self.count % NOTED_EACH):
            note(f"{self.count} letters")


def edit_of(change: Change, places: list[str] | None) -> Edit | None:
    """What to change. A file is for one letter that is named by its place."""
    from tasker_kafka.handlers.delivery.edits import parse_assignment
    from tasker_kafka.handlers.delivery.redrive import Edit
    from tasker_kafka.schemas.json_strict import decode_json
    from tasker_kafka.schemas.limits import RECORD_BYTES

    assignments, payload, value = change.assignments, change.edit, change.value
    if sum(bool(each) for each in (assignments, payload, value)) > 1:
        raise typer.BadParameter("give one of --set, --edit and --value")
    if (payload or value) and len(places or ()) != 1:
        raise typer.BadParameter("--edit and --value change one letter: name it by its place")
    if assignments:
        return Edit(assignments=tuple(map(parse_assignment, assignments)))
    if payload is not None:
        text = content(payload)
        return Edit(payload=decode_json(text, max_bytes=RECORD_BYTES.maximum, what=str(payload)))
    return None if value is None else Edit(value=content(value))


def content(path: Path) -> bytes:
    """A file's bytes. ConfigurationError when it cannot be read."""
    from tasker_kafka.schemas.errors import ConfigurationError

    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}") from None


def document(report: ActReport, orders: Orders, rows: list[LetterRow]) -> dict[str, Any]:
    """The report as JSON."""
    return {
        "is_dry_run": orders.dry_run,
        "letters": report.letters,
        "repeats": report.repeats,
        "groups": [{"group": name, "letters": count} for name, count in sorted(report.groups.items())],
        "skipped": [{"place": str(place), "state": state.value} for place, state in report.skipped],
        "first": [row.place for row in rows],
    }


def print_report(report: ActReport, orders: Orders, word: str, rows: list[LetterRow]) -> None:
    """The report as text; of a dry run with the first letters in their order."""
    if orders.dry_run:
        from .dlq_views import COLUMNS, columns

        print_table(COLUMNS, map(columns, rows), empty="no letters")
    for place, state in report.skipped:
        note(f"{place} is {state.value}: left as it is (--again acts on it all the same)")
    by_group = ", ".join(f"{name} {count}" for name, count in sorted(report.groups.items()))
    told = f"{counted(report.letters, 'letter')} {'would be ' if orders.dry_run else ''}{word}"
    repeats = f"; {report.repeats} of them repeat an event" if report.repeats else ""
    print_text(f"{told}{f' ({by_group})' if by_group else ''}{repeats}")
