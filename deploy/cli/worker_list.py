"""`tasker worker list`: who serves which queue."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from .console import moment, note, print_json, print_table
from .guard import run
from .options import AsJson
from .session import Session, in_session

if TYPE_CHECKING:
    from tasker_kafka.deploy.reading import WorkerRow

__all__ = ["list_workers"]


def list_workers(as_json: AsJson = False) -> None:
    """Workers that have announced themselves and not signed off."""

    async def work(session: Session) -> tuple[list[WorkerRow], dict[str, list[str]]]:
        from tasker_kafka.deploy.reading import list_workers as read

        rows = await read(session.log, session.names)
        return rows, await unserved(session, rows)

    rows, missing = run(in_session(work))
    if as_json:
        from tasker_kafka.deploy.reading import jsonable

        queues = [{"queue": queue, "templates": templates} for queue, templates in missing.items()]
        print_json({"workers": jsonable(rows), "unserved": queues})
        return
    print_table(
        ("worker", "queues", "handlers", "version", "seen", ""),
        [
            (
                row.worker_id,
                ", ".join(row.queues),
                ", ".join(row.handlers),
                row.version,
                moment(row.seen_at),
                "" if row.is_alive else "silent",
            )
            for row in rows
        ],
        empty="no workers: `tasker worker -m MODULE` starts one",
    )
    for queue, templates in missing.items():
        note(f"nobody serves queue {queue} (steps of {', '.join(templates)})")


async def unserved(session: Session, rows: Sequence[WorkerRow]) -> dict[str, list[str]]:
    """Queue → the templates whose steps go to it, of the queues that no live worker serves."""
    from tasker_kafka.deploy.reading.workers import Workforce
    from tasker_kafka.schemas.errors import TopicsDrifted

    workforce = Workforce(rows)
    found: dict[str, set[str]] = {}
    try:
        async with session.plans() as store:
            for plan in store.all():
                for queue in plan.queues:
                    if not workforce.serving(queue):
                        found.setdefault(queue, set()).add(f"{plan.namespace}/{plan.name}")
    except TopicsDrifted:
        return {}
    return {queue: sorted(found[queue]) for queue in sorted(found)}
