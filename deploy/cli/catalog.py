"""`tasker catalog`: which events there are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from .console import print_json, print_table, print_text
from .guard import run
from .options import AsJson, Namespace
from .session import in_session

if TYPE_CHECKING:
    from tasker_kafka.deploy.catalog import DomainEventEntry, SystemEventEntry
    from tasker_kafka.deploy.system_names import NamedEvent

    from .session import Session

__all__ = ["app"]

app = typer.Typer(help="The catalogue of events.", no_args_is_help=True)


@app.callback()
def catalog() -> None:
    """What events there are: the engine's own, and those that published templates declare."""


@app.command()
def events(
    system: Annotated[bool, typer.Option("--system", help="The engine's own only; needs no broker.")] = False,
    domain: Annotated[bool, typer.Option("--domain", help="Those of published templates only.")] = False,
    namespace: Namespace = None,
    as_json: AsJson = False,
) -> None:
    """Events of the engine (what each means, causes and carries) and of templates (who publishes them, and when)."""
    from tasker_kafka.deploy.catalog import system_events

    with_domain = domain or not system
    own = system_events() if system or not domain else ()
    declared = run(in_session(lambda session: read(session, namespace))) if with_domain else ()
    if as_json:
        print_json(document(own, declared))
        return
    if own:
        print_table(("event", "meaning", "caused by", "carries"), map(system_row, own), title="engine")
    if with_domain:
        print_table(
            ("event", "version", "published by", "when", "delivery", "what it says"),
            map(domain_row, declared),
            title="\ntemplates" if own else "templates",
            empty="no published template declares events",
        )
    if own:
        from tasker_kafka.deploy.system_names import named_events

        print_table(
            ("name", "meaning", "recorded as"),
            map(named_row, named_events()),
            title="\nnames of system events, and where the log has them",
        )
        print_text("\nEdges and fields of each: --json.")


async def read(session: Session, namespace: str | None) -> tuple[DomainEventEntry, ...]:
    """The declared events of the published templates."""
    from tasker_kafka.deploy.catalog import domain_events

    async with session.plans() as store:
        return domain_events(each for each in store.all() if namespace in (None, each.namespace))


def document(own: tuple[SystemEventEntry, ...], declared: tuple[DomainEventEntry, ...]) -> dict[str, Any]:
    """The catalogue as JSON."""
    from tasker_kafka.deploy.reading.jsonform import jsonable
    from tasker_kafka.deploy.system_names import named_events

    return {
        "system": jsonable(own),
        "names": jsonable(named_events()) if own else [],
        "domain": [{**jsonable(each), "schema": each.schema} for each in declared],
    }


def system_row(each: SystemEventEntry) -> tuple[str, ...]:
    """One event of the engine."""
    carried = " or ".join(shape.name for shape in each.data) or "–"
    return each.name, each.meaning, ", ".join(each.causes), carried


def named_row(each: NamedEvent) -> tuple[str, ...]:
    """One name of a system event."""
    every = f"every {each.category} edge" if each.name.endswith(".before_transition") else ""
    return each.name, each.meaning, every or ", ".join(each.seen_in) or "– (seen by the running process only)"


def domain_row(each: DomainEventEntry) -> tuple[str, ...]:
    """One declared event."""
    template = f"{each.namespace}/{each.template}@{each.template_version}"
    publisher = template if each.step is None else f"{template} {each.step}"
    return each.name, each.version, publisher, each.condition, each.delivery, each.description
