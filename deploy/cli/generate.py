"""`tasker generate`: handlers, subscribers, templates and event models, each with tests that pass as written."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .console import print_json, print_text
from .guard import run
from .options import AsJson
from .session import Session, in_session

if TYPE_CHECKING:
    from tasker_kafka.handlers.scaffold.event_models import Declared
    from tasker_kafka.handlers.scaffold.writing import Draft, Written

__all__ = ["Force", "app", "report"]

app = typer.Typer(help="Write code that passes its own tests, types and linters.", no_args_is_help=True)

Force = Annotated[bool, typer.Option("--force", help="Replace files that exist.")]
Package = Annotated[
    str | None,
    typer.Option(
        "--package", help="Package to write into. Default: [tool.tasker] of pyproject.toml, else none."
    ),
]


@app.command()
def handler(
    name: Annotated[str, typer.Argument(metavar="NAME", help="As templates call it: checkout.charge_card.")],
    package: Package = None,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """A step handler with typed input and result, its test and its registration."""
    from tasker_kafka.handlers.scaffold.handler import new_handler
    from tasker_kafka.handlers.scaffold.layout import find_layout

    layout = find_layout(Path.cwd(), package)
    finish(new_handler(name, layout), layout.root, force, as_json)


@app.command()
def template(
    name: Annotated[str, typer.Argument(metavar="[NAMESPACE/]NAME", help="As requests call it.")],
    steps: Annotated[
        str | None, typer.Option("--steps", help="Names of the steps, in order: check,pay,ship.")
    ] = None,
    package: Package = None,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """A template that publishes an event, a handler for each step, and tests of the whole."""
    from tasker_kafka.handlers.scaffold.layout import find_layout
    from tasker_kafka.handlers.scaffold.template import USUAL_STEPS, new_template

    layout = find_layout(Path.cwd(), package)
    wanted = USUAL_STEPS if steps is None else words(steps)
    finish(new_template(name, layout, steps=wanted), layout.root, force, as_json)


@app.command()
def subscriber(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Its consumer group: billing-audit.")],
    events: Annotated[
        str, typer.Option("--events", help="Event names or patterns, with commas: payment.charged,refund.*")
    ],
    metrics: Annotated[
        bool, typer.Option("--metrics", help="Count and time what it handles, with OpenTelemetry.")
    ] = False,
    *,
    package: Package = None,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """A subscriber with a method for each event, tests of its delivery, and its registration."""
    from tasker_kafka.handlers.scaffold.layout import find_layout
    from tasker_kafka.handlers.scaffold.subscriber import new_subscriber

    layout = find_layout(Path.cwd(), package)
    draft = new_subscriber(name, layout, events=words(events), metrics=metrics)
    finish(draft, layout.root, force, as_json)


@app.command()
def events(
    namespace: Annotated[str, typer.Argument(metavar="NAMESPACE", help="Whose events.")],
    templates: Annotated[
        list[Path] | None,
        typer.Option(
            "--templates", "-t", help="Template files, or folders of them. Default: what is published."
        ),
    ] = None,
    environment: Annotated[
        str | None,
        typer.Option("--env", help="Whose overlay is laid over template files. Default: TASKER_ENV."),
    ] = None,
    *,
    package: Package = None,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Typed models of a namespace's event payloads, from their declared schemas."""
    from tasker_kafka.handlers.scaffold.event_models import new_event_models
    from tasker_kafka.handlers.scaffold.layout import find_layout

    layout = find_layout(Path.cwd(), package)
    declared = from_files(templates, environment) if templates else run(in_session(from_log))
    finish(new_event_models(namespace, declared, layout), layout.root, force, as_json)


def from_files(templates: list[Path], environment: str | None) -> list[Declared]:
    """What template files declare."""
    from tasker_kafka.deploy.event_schemas import declared_events
    from tasker_kafka.deploy.template_files import load_plans
    from tasker_kafka.handlers.scaffold.event_models import Declared
    from tasker_kafka.schemas.settings import load_settings

    plans = load_plans(templates, load_settings(), environment=environment)
    return [Declared(*each) for each in declared_events(plans)]


async def from_log(session: Session) -> list[Declared]:
    """What the newest version of each published template declares."""
    from tasker_kafka.deploy.event_schemas import declared_events
    from tasker_kafka.handlers.scaffold.event_models import Declared

    async with session.plans() as store:
        names = {(plan.namespace, plan.name) for plan in store.all()}
        newest = [plan for name in sorted(names) if (plan := store.resolve(*name, None)) is not None]
    plans = {Path(f"{plan.namespace}/{plan.name}@{plan.version}"): [plan] for plan in newest}
    return [Declared(*each) for each in declared_events(plans)]


def words(text: str) -> list[str]:
    """The parts of a list with commas."""
    return [part.strip() for part in text.split(",") if part.strip()]


def finish(draft: Draft, root: Path, force: bool, as_json: bool) -> None:
    """Write a draft and say what was written and what comes next."""
    from tasker_kafka.handlers.scaffold.writing import write

    report(write(draft, root, force=force), draft, root, as_json)


def report(written: Written, draft: Draft, root: Path, as_json: bool) -> None:
    """Print what was written."""
    kinds = {
        "created": written.created,
        "replaced": written.replaced,
        "changed": written.changed,
        "unchanged": written.unchanged,
    }
    if as_json:
        print_json({"root": str(root), **kinds, "notes": list(draft.notes)})
        return
    lines = [f"{kind:<9} {path}" for kind, paths in kinds.items() for path in paths]
    print_text("\n".join([*lines, "", *draft.notes]))
