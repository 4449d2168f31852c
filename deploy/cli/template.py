"""`tasker template`: check template files, publish them, look at what is published."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .completing import complete_plan
from .console import print_json, print_table, print_text
from .exits import CommandExit
from .findings import finding_shape
from .guard import run
from .options import AsJson, current_actor
from .session import Session, in_session
from .template_convert import convert_templates

if TYPE_CHECKING:
    from tasker_kafka.schemas.plan import Plan
    from tasker_kafka.schemas.settings import Settings
    from tasker_kafka.schemas.template import Finding
    from tasker_kafka.topics.plans import Published

__all__ = ["Environment", "GraphFormat", "app", "print_graph"]

app = typer.Typer(help="Templates: the definitions of tasks.", no_args_is_help=True)

Paths = Annotated[list[Path], typer.Argument(metavar="PATH", help="Template files, or folders of them.")]
Reference = Annotated[
    str,
    typer.Argument(
        metavar="TEMPLATE",
        help="[NAMESPACE/]NAME[@VERSION] of a published template.",
        autocompletion=complete_plan,
    ),
]
Environment = Annotated[
    str | None, typer.Option("--env", help="Whose overlay is laid over the base. Default: TASKER_ENV.")
]
Modules = Annotated[
    list[str] | None,
    typer.Option("--module", "-m", help="Also check the steps against this module's handlers."),
]


class GraphFormat(StrEnum):
    """How a graph is printed."""

    MERMAID = "mermaid"
    TEXT = "text"
    JSON = "json"


@app.command("list")
def list_templates(as_json: AsJson = False) -> None:
    """Every published version."""

    async def work(session: Session) -> list[Plan]:
        async with session.plans() as store:
            return store.all()

    plans = run(in_session(work))
    if as_json:
        print_json({"templates": [summary(plan) for plan in plans]})
        return
    rows = [
        (f"{plan.namespace}/{plan.name}", plan.version, str(len(plan.steps)), ", ".join(plan.queues))
        for plan in plans
    ]
    print_table(
        ("template", "version", "steps", "queues"),
        rows,
        empty="none published: `tasker template publish PATH`",
    )


@app.command("lint")
def lint_templates(paths: Paths, module: Modules = None, as_json: AsJson = False) -> None:
    """Check template files, in every environment they name; exit code 1 when one has a fault."""
    from tasker_kafka.deploy.template_files import lint_files
    from tasker_kafka.schemas.settings import load_settings

    settings = load_settings()
    findings = lint_files(paths, settings)
    if module and not any(each.severity == "error" for each in findings):
        findings += handler_findings(paths, module, settings)
    if as_json:
        print_json({"findings": [finding_shape(each) for each in findings]})
    else:
        print_text("\n".join(f"{each.severity}: {each}" for each in findings) or "no faults found")
    if any(each.severity == "error" for each in findings):
        raise typer.Exit(CommandExit.REFUSED)


@app.command()
def show(template: Reference, as_json: AsJson = False) -> None:
    """A published template as compiled, with every default filled in."""
    from tasker_kafka.deploy.reading.jsonform import jsonable

    plan = run(in_session(lambda session: find(session, template)))
    if as_json:
        print_json({**jsonable(plan), "plan_hash": plan.hash.hex()})
        return
    print_text(
        f"{plan.namespace}/{plan.name}@{plan.version}  plan {plan.hash.hex()[:12]}\n{plan.description}"
    )
    rows = [
        (
            step.name,
            step.handler,
            step.queue,
            ", ".join(step.parents) or "–",
            f"{step.retry.max_attempts} × {step.retry.backoff}" if step.retry.retryable else "1",
            f"{step.timeout_ms / 1000:g} s",
        )
        for step in plan.steps
    ]
    print_table(
        ("step", "handler", "queue", "after", "attempts", "timeout"), rows, title="", empty="no steps"
    )


@app.command()
def graph(
    template: Reference,
    form: Annotated[GraphFormat, typer.Option("--format", help="How to print it.")] = GraphFormat.MERMAID,
) -> None:
    """The DAG of a published template."""
    print_graph(run(in_session(lambda session: find(session, template))), None, form)


@app.command()
def publish(paths: Paths, environment: Environment = None, as_json: AsJson = False) -> None:
    """Publish template files, all or none; other content under a published version is refused."""

    async def work(session: Session) -> tuple[list[Published], list[str]]:
        from tasker_kafka.deploy.provisioning import find_missing_queues
        from tasker_kafka.deploy.template_files import publish_files

        published = await publish_files(
            session.log,
            session.names,
            paths,
            publisher=current_actor(),
            settings=session.settings,
            environment=environment,
        )
        return published, await find_missing_queues(session.log, session.names)

    published, missing = run(in_session(work))
    if as_json:
        print_json({"published": [published_shape(each) for each in published], "missing_topics": missing})
        return
    for each in published:
        what = "published" if each.is_new else "unchanged"
        print_text(f"{what} {each.namespace}/{each.name}@{each.version}")
    if missing:
        print_text(f"topics are missing ({', '.join(missing)}): run `tasker topics create`")


app.command("convert")(convert_templates)


# ---------------------------------------------------------------------------------------------- shapes


async def find(session: Session, reference: str) -> Plan:
    """The published plan that a reference means."""
    from tasker_kafka.deploy.template_files import find_published

    async with session.plans() as store:
        return find_published(store, reference)


def print_graph(plan: Plan, states: Any, form: GraphFormat) -> None:
    """Print a DAG; with `states` (by step name) each node carries its own."""
    from tasker_kafka.deploy.reading.graphs import graph_json, mermaid, tree

    if form is GraphFormat.JSON:
        print_json(graph_json(plan, states))
    elif form is GraphFormat.TEXT:
        print_text(tree(plan, states))
    else:
        print_text(mermaid(plan, states))


def handler_findings(paths: list[Path], modules: list[str], settings: Settings) -> list[Finding]:
    """Steps that no handler of these modules fits."""
    from tasker_kafka.deploy.handler_checks import check_plans, load_registry
    from tasker_kafka.deploy.template_files import load_plans

    return check_plans(load_plans(paths, settings), load_registry(modules))


def summary(plan: Plan) -> dict[str, Any]:
    """The JSON of a template in a list."""
    return {
        "namespace": plan.namespace,
        "name": plan.name,
        "version": plan.version,
        "plan_hash": plan.hash.hex(),
        "steps": len(plan.steps),
        "queues": list(plan.queues),
    }


def published_shape(each: Published) -> dict[str, Any]:
    """The JSON of one published version."""
    return {
        "namespace": each.namespace,
        "name": each.name,
        "version": each.version,
        "plan_hash": each.plan_hash.hex(),
        "is_new": each.is_new,
    }
