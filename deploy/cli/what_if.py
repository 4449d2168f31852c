"""`tasker what-if`: where would real tasks have gone another way under a changed template?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .completing import complete_template_or_file, complete_version
from .console import counted, note, print_json, print_table, print_text
from .exits import CommandExit
from .moments import asked, cut_shape, given, print_cut
from .options import AsJson
from .progress import Progress
from .session import Session

if TYPE_CHECKING:
    from tasker_kafka.deploy.reading.what_if import Question, Spread, WhatIf
    from tasker_kafka.deploy.reading.what_if_attempts import Assume
    from tasker_kafka.deploy.reading.what_if_verdict import StepCourse, StepDeviation, TaskVerdict
    from tasker_kafka.schemas.plan import Plan
    from tasker_kafka.topics.plans import PlanStore

__all__ = ["what_if"]

TASK_COLUMNS = ("task", "version", "recorded", "would be", "took", "would take", "steps")
STEP_COLUMNS = ("step", "what", "tasks")
DEVIATION_COLUMNS = ("step", "what", "recorded", "would be")

Changed = Annotated[
    str,
    typer.Argument(
        metavar="TEMPLATE",
        help="A template file, or [NAMESPACE/]NAME[@VERSION] of a published template.",
        autocompletion=complete_template_or_file,
    ),
]
Since = Annotated[
    str, typer.Option("--since", help="Tasks that began then or later: T as of `tasker as-of`.")
]
Until = Annotated[str | None, typer.Option("--until", help="Tasks that began before then only.")]
OneTask = Annotated[str | None, typer.Option("--task", help="This task only, with every step that differs.")]
Version = Annotated[
    str | None,
    typer.Option(
        "--version",
        help="Tasks that ran on this version only. Default: on any.",
        autocompletion=complete_version,
    ),
]
Assumed = Annotated[
    str, typer.Option("--assume", help="How attempts end that are not recorded: success or failure.")
]
Environment = Annotated[
    str | None, typer.Option("--env", help="Whose overlay is laid over a file's base. Default: TASKER_ENV.")
]
Limit = Annotated[int, typer.Option("--limit", min=0, help="Tasks that differ, told whole, at most.")]


def what_if(
    *,
    template: Changed,
    since: Since,
    until: Until = None,
    task: OneTask = None,
    version: Version = None,
    assume: Assumed = "success",
    environment: Environment = None,
    limit: Limit = 50,
    as_json: AsJson = False,
) -> None:
    """Replay the recorded tasks of a template under a changed one; exit code 1 if any would have gone otherwise."""
    unrecorded = assumed(assume)
    moments = (given(since, "--since"), None if until is None else given(until, "--until"))

    async def work(session: Session) -> WhatIf:
        from tasker_kafka.deploy.reading.what_if import Question
        from tasker_kafka.schemas.identity import parse_id

        async with session.plans() as store:
            question = Question(
                plan=changed_plan(template, session, store, environment),
                since=moments[0],
                until=moments[1],
                task_id=None if task is None else parse_id(task),
                version=version,
                assume=unrecorded,
                limit=limit,
            )
            return await answer(session, store, question, as_json=as_json)

    found = asked(work)
    if as_json:
        print_json(json_of(found))
    else:
        print_found(found, in_full=task is not None)
    if found.other:
        raise typer.Exit(CommandExit.REFUSED)


def assumed(text: str) -> Assume:
    """How attempts end that are not recorded. BadParameter for another word."""
    from tasker_kafka.deploy.reading.what_if_attempts import Assume

    if text not in list(Assume):
        raise typer.BadParameter(f"{text!r} is neither success nor failure", param_hint="--assume")
    return Assume(text)


async def answer(session: Session, store: PlanStore, question: Question, *, as_json: bool) -> WhatIf:
    """Ask, with a bar for each partition."""
    from tasker_kafka.deploy.reading.what_if import what_if as ask

    with Progress(is_wanted=not as_json) as bar:
        progress = bar.by_partition("partition")
        return await ask(session.log, session.names, store, question, progress=progress)


def changed_plan(template: str, session: Session, store: PlanStore, environment: str | None) -> Plan:
    """The plan of a file, or a published one. TemplateError, NotFoundError; BadParameter for several in a file."""
    from tasker_kafka.deploy.template_files import find_published, load_plans

    path = Path(template)
    if not (path.is_file() or path.suffix in {".yaml", ".yml"}):
        return find_published(store, template)
    (plans,) = load_plans([path], session.settings, environment=environment).values()
    if len(plans) != 1:
        names = ", ".join(f"{each.namespace}/{each.name}" for each in plans) or "none"
        raise typer.BadParameter(f"{path} holds {names}: give a file of one template", param_hint="TEMPLATE")
    return plans[0]


def json_of(found: WhatIf) -> dict[str, Any]:
    """The document of `--json`."""
    from tasker_kafka.deploy.reading import jsonable

    shape: dict[str, Any] = jsonable(found)
    return {
        **shape,
        "since": cut_shape(found.since),
        "until": None if found.until is None else cut_shape(found.until),
    }


# --------------------------------------------------------------------------------------------- for people


def print_found(found: WhatIf, *, in_full: bool) -> None:
    """The verdict, the counts, the tasks, and what the answer cannot know."""
    print_cut(found.since, "since")
    if found.until is not None:
        print_cut(found.until, "until")
    print_text(f"judged    {counted(found.judged, 'task')}; {found.other} would have gone another way")
    for why, count in found.not_judged.items():
        print_text(f"not judged: {count}, because {why}")
    if found.other:
        print_differences(found)
        print_table(TASK_COLUMNS, map(task_row, found.tasks), title="")
        for each in found.tasks if in_full else ():
            print_task(each)
        if found.other > len(found.tasks):
            note(f"{found.other - len(found.tasks)} more: raise --limit, or ask for one with --task")
    print_text("what this cannot know:")
    for line in found.cannot_know:
        print_text(f"  - {line}")


def print_differences(found: WhatIf) -> None:
    """The counts over all tasks that differ."""
    for change, count in found.states.items():
        print_text(f"  {count} × {change}")
    print_text(
        f"attempts  {found.recorded_attempts} recorded, {found.would_attempts} would be"
        + (
            f"; {found.assumed_attempts} are not recorded, {found.assume} is assumed"
            if found.assumed_attempts
            else ""
        )
    )
    print_text(f"duration  {spread_text(found.recorded)} recorded, {spread_text(found.would)} would be")
    rows = [(step, kind, str(count)) for step, kinds in found.steps.items() for kind, count in kinds.items()]
    if rows:
        print_table(STEP_COLUMNS, rows, title="")


def spread_text(spread: Spread) -> str:
    """Median and 95th percentile."""
    if spread.median is None:
        return "none closed"
    return f"median {seconds(spread.median)}, p95 {seconds(spread.p95)}"


def seconds(milliseconds: int | None) -> str:
    """`1.25 s`, or that it is open."""
    return "open" if milliseconds is None else f"{milliseconds / 1000:g} s"


def task_row(each: TaskVerdict) -> tuple[str, ...]:
    """One task that differs."""
    from tasker_kafka.schemas.identity import format_id

    steps = "; ".join(f"{step.step} {'+'.join(step.kinds)}" for step in each.steps)
    return (
        format_id(each.task_id),
        each.version,
        each.recorded_state,
        each.would_state,
        seconds(each.recorded_duration_ms),
        seconds(each.would_duration_ms) if each.refusal is None else "–",
        each.refusal or steps or "–",
    )


def print_task(each: TaskVerdict) -> None:
    """Every step of a task that differs."""
    if each.steps:
        print_table(DEVIATION_COLUMNS, map(deviation_row, each.steps), title="")
    print_text(
        f"critical path {seconds(each.recorded_critical_path_ms)} recorded, "
        f"{seconds(each.would_critical_path_ms)} would be; {each.followed} records are the same"
    )
    if each.assumed:
        print_text(f"assumed: {', '.join(each.assumed)}")
    for answer in each.refused_orders:
        print_text(f"an operator's command would have been answered {answer}")
    if each.unheard_orders:
        print_text(f"{each.unheard_orders} operators' commands were refused then and are left out")


def deviation_row(step: StepDeviation) -> tuple[str, ...]:
    """One step that differs."""
    return (step.step, ", ".join(step.kinds), course_text(step.recorded), course_text(step.would))


def course_text(course: StepCourse | None) -> str:
    """How a step went."""
    if course is None:
        return "–"
    if course.began_after_ms is None:
        return f"{course.state}, never dispatched"
    after = f", after {', '.join(course.after)}" if course.after else ""
    return f"{course.state}, attempts: {course.attempts}, began at {seconds(course.began_after_ms)}{after}"
