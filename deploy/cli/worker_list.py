"""`tasker worker list`: who serves which queue."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .console import moment, print_json, print_table
from .guard import run
from .options import AsJson
from .session import Session, in_session

if TYPE_CHECKING:
    from tasker_kafka.deploy.reading import WorkerRow

__all__ = ["list_workers"]


def list_workers(as_json: AsJson = False) -> None:
    """Workers that have announced themselves and not signed off."""

    async def work(session: Session) -> list[WorkerRow]:
        from tasker_kafka.deploy.reading import list_workers as read

        return await read(session.log, session.names)

    rows = run(in_session(work))
    from tasker_kafka.deploy.reading import jsonable

    if as_json:
        print_json({"workers": jsonable(rows)})
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
