"""`tasker as-of`: one task, or the list of tasks, as it was at a moment of the log."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from . import task_views
from .choosing import Chosen
from .console import counted, note, print_json, print_table, print_text
from .moments import asked, cut_shape, given, print_cut
from .options import AsJson, Limit
from .progress import Progress
from .session import Session
from .spreading import spread

if TYPE_CHECKING:
    from tasker_kafka.deploy.reading import TaskFilter
    from tasker_kafka.deploy.reading.as_of import TaskAsOf, TasksAsOf
    from tasker_kafka.deploy.reading.as_of_moments import Moment

__all__ = ["as_of"]

Asked = Annotated[
    str,
    typer.Argument(
        metavar="T", help="A time with its zone, -2h, now, @OFFSET, @PARTITION:OFFSET,… or a file of offsets."
    ),
]
OneTask = Annotated[
    str | None, typer.Argument(metavar="TASK", help="This task, whole. Default: all, as a list.")
]
Life = Annotated[int | None, typer.Option("--life", help="Another life than the newest of that moment.")]
WithTransitions = Annotated[bool, typer.Option("--transitions", help="Print every transition too.")]


@spread
def as_of(
    *,
    t: Asked,
    chosen: Chosen,
    task: OneTask = None,
    life: Life = None,
    transitions: WithTransitions = False,
    limit: Limit = 50,
    as_json: AsJson = False,
) -> None:
    """A task's whole report, or the list of tasks, as it was at a time or at offsets of the log."""
    if task is not None:
        _one(t, task, life, with_transitions=transitions, as_json=as_json)
        return
    _all(t, chosen, limit, as_json=as_json)


def _one(t: str, task: str, life: int | None, *, with_transitions: bool, as_json: bool) -> None:
    moment = given(t, "T")

    async def work(session: Session) -> TaskAsOf:
        from tasker_kafka.deploy.reading.as_of import report_as_of
        from tasker_kafka.schemas.identity import parse_id

        async with session.plans() as store:
            return await report_as_of(session.log, session.names, store, parse_id(task), moment, life=life)

    found = asked(work)
    if as_json:
        from tasker_kafka.deploy.reading import jsonable, time_text

        print_json(
            {
                **cut_shape(found.cut),
                "seen_at": time_text(found.seen_at),
                "records_after": found.records_after,
                "task": jsonable(found.report),
            }
        )
        return
    print_cut(found.cut)
    task_views.print_report(found.report, with_transitions=with_transitions)
    if found.records_after:
        print_text(f"since then {counted(found.records_after, 'more record')} of this life")


def _all(t: str, chosen: Chosen, limit: int, *, as_json: bool) -> None:
    moment = given(t, "T")
    found = asked(
        lambda session: _listed(session, moment, chosen.filter(session.log.now_ms()), limit, as_json=as_json)
    )
    if as_json:
        from tasker_kafka.deploy.reading import jsonable

        print_json(
            {
                **cut_shape(found.cut),
                "total": found.total,
                "counts": found.counts,
                "not_covered": sum(each.not_covered for each in found.partitions),
                "unfoldable": sum(each.unfoldable for each in found.partitions),
                "not_searched": found.not_searched,
                "tasks": jsonable(found.rows),
            }
        )
        return
    print_cut(found.cut)
    print_table(task_views.LIST_COLUMNS, map(task_views.list_row, found.rows), title="", empty="no tasks")
    _print_counts(found)


async def _listed(
    session: Session, moment: Moment, wanted: TaskFilter, limit: int, *, as_json: bool
) -> TasksAsOf:
    from tasker_kafka.deploy.reading.as_of import tasks_as_of

    async with session.plans() as store:
        with Progress(is_wanted=not as_json) as bar:
            told = bar.by_partition("partition")
            return await tasks_as_of(
                session.log, session.names, store, moment, wanted, limit=limit, progress=told
            )


def _print_counts(found: TasksAsOf) -> None:
    by_state = ", ".join(f"{count} {state}" for state, count in found.counts.items())
    print_text(f"\n{counted(found.total, 'task')}" + (f": {by_state}" if by_state else ""))
    left = sum(each.not_covered for each in found.partitions)
    broken = sum(each.unfoldable for each in found.partitions)
    if left:
        print_text(f"{left} more are known by later records only: they began before the retained log")
    if broken:
        print_text(f"{broken} more have records that do not fold: `tasker verify-rebuild` says which")
    if found.not_searched:
        note(
            f"{counted(found.not_searched, 'finished task')} left out: their tags and texts are not retained"
        )
    if found.total > len(found.rows):
        note(f"{found.total - len(found.rows)} more: raise --limit, or filter")
