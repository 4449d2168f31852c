"""`tasker topics`: create them, verify them, list them, and print the rights that roles need on them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from .console import note, print_json, print_table, print_text
from .exits import CommandExit
from .guard import run
from .options import AsJson
from .session import Session, in_session

if TYPE_CHECKING:
    from tasker_kafka.topics.declarations import TopicPlan
    from tasker_kafka.topics.provision import Drift

__all__ = ["app"]

app = typer.Typer(help="The topics of the system.", no_args_is_help=True)

Partitions = Annotated[
    int | None,
    typer.Option(min=1, help="Of the engine's topics; cannot be changed later. Default: topics.partitions."),
]
Replicas = Annotated[
    int | None,
    typer.Option("--replication", min=1, help="Copies of each record. Default: topics.replication_factor."),
]
Queues = Annotated[
    list[str] | None,
    typer.Option("--queue", help="A queue that no published template names yet; repeatable."),
]
Namespaces = Annotated[
    list[str] | None,
    typer.Option("--namespace", help="A namespace with events that no published template names yet."),
]


@app.command()
def create(
    partitions: Partitions = None,
    replication: Replicas = None,
    queue: Queues = None,
    namespace: Namespaces = None,
    as_json: AsJson = False,
) -> None:
    """Create the topics that are missing, those of the published templates included."""

    async def work(session: Session) -> list[str]:
        from tasker_kafka.deploy.provisioning import create_topics
        from tasker_kafka.deploy.wiring import replication_factor

        return await create_topics(
            session.log,
            session.names,
            await wanted_plan(session, partitions),
            queues=queue or (),
            namespaces=namespace or (),
            replication_factor=replication or replication_factor(session.settings),
        )

    created = run(in_session(work))
    if as_json:
        print_json({"created": created})
    else:
        print_text("\n".join(f"created {name}" for name in created) or "every topic was there already")


@app.command()
def verify(partitions: Partitions = None, as_json: AsJson = False) -> None:
    """Compare the topics with their declarations; exit code 1 when something differs."""

    async def work(session: Session) -> list[Drift]:
        from tasker_kafka.deploy.provisioning import find_drifts

        return await find_drifts(session.log, session.names, await wanted_plan(session, partitions))

    drifts = run(in_session(work))
    if as_json:
        print_json({"drifts": [drift_shape(drift) for drift in drifts]})
    else:
        rows = [(each.topic, each.setting, each.expected, each.found, each.way_out) for each in drifts]
        print_table(
            ("topic", "what", "expected", "found", "what to do"), rows, empty="all topics are as declared"
        )
    if drifts:
        raise typer.Exit(CommandExit.REFUSED)


@app.command()
def repair(partitions: Partitions = None, as_json: AsJson = False) -> None:
    """Set settings that differ from the declarations; missing topics and partition counts are left to you."""

    async def work(session: Session) -> tuple[int, list[Drift]]:
        from tasker_kafka.deploy.provisioning import find_drifts
        from tasker_kafka.topics.provision import repair as mend

        found = await find_drifts(session.log, session.names, await wanted_plan(session, partitions))
        return len(found), await mend(session.log.admin(), found)

    count, left = run(in_session(work))
    if as_json:
        print_json({"mended": count - len(left), "drifts": [drift_shape(drift) for drift in left]})
    else:
        print_text(f"{count - len(left)} settings mended")
        for drift in left:
            note(str(drift))
    if left:
        raise typer.Exit(CommandExit.REFUSED)


@app.command("list")
def list_topics(as_json: AsJson = False) -> None:
    """Every topic of the system that exists."""

    async def work(session: Session) -> list[dict[str, Any]]:
        admin = session.log.admin()
        own = sorted(name for name in await admin.names() if name.startswith(session.names.every_topic))
        described = await admin.describe(own)
        return [
            {
                "name": each.name,
                "partitions": each.partitions,
                "replication": each.replication_factor,
                "cleanup_policy": each.config.get("cleanup.policy"),
                "retention_ms": each.config.get("retention.ms"),
            }
            for _, each in sorted(described.items())
        ]

    found = run(in_session(work))
    if as_json:
        print_json({"topics": found})
        return
    print_table(
        ("topic", "partitions", "replicas", "policy", "retention ms"),
        [tuple(str(value) for value in each.values()) for each in found],
        empty="no topics: `tasker topics create` makes them",
    )


@app.command()
def acls(as_json: AsJson = False) -> None:
    """The least rights of each role, for the published templates' queues and namespaces."""

    async def work(session: Session) -> list[Any]:
        from tasker_kafka.deploy.acls import acls as rules
        from tasker_kafka.deploy.provisioning import published_plans
        from tasker_kafka.topics.declarations import declared_for

        queues, namespaces = declared_for(await published_plans(session.log, session.names))
        return rules(session.names, queues, namespaces)

    found = run(in_session(work))
    if as_json:
        from tasker_kafka.deploy.reading.jsonform import jsonable

        print_json({"acls": jsonable(found)})
        return
    rows = [(each.role, each.resource, each.name, each.pattern, ", ".join(each.operations)) for each in found]
    print_table(("role", "resource", "name", "pattern", "operations"), rows)


async def wanted_plan(session: Session, partitions: int | None) -> TopicPlan:
    """What the settings and the option say of topics; an unset partition count is that of the topics there are."""
    from tasker_kafka.deploy.provisioning import partitions_for
    from tasker_kafka.deploy.wiring import configured_partitions, topic_plan

    wanted = partitions or configured_partitions(session.settings)
    return topic_plan(session.settings, await partitions_for(session.log, session.names, wanted))


def drift_shape(drift: Drift) -> dict[str, str]:
    """The JSON of one difference."""
    return {
        "topic": drift.topic,
        "setting": drift.setting,
        "expected": drift.expected,
        "found": drift.found,
        "way_out": drift.way_out,
    }
