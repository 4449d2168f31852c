"""Published templates for people: their versions, graphs, levels, and the path that takes longest. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence

from tasker_kafka.deploy.reading import mermaid
from tasker_kafka.schemas.errors import NotFoundError
from tasker_kafka.schemas.identity import plan_json
from tasker_kafka.schemas.nearest import did_you_mean
from tasker_kafka.schemas.plan import Plan
from tasker_kafka.schemas.plan_json import version_key
from tasker_kafka.streams.domain.views import dag

from .shapes import TemplateDetails, TemplateRow, TemplateStep

__all__ = ["critical_path", "find_template", "latest_plans", "template_details", "template_rows"]


def latest_plans(plans: Iterable[Plan]) -> list[Plan]:
    """The highest version of each template."""
    latest: dict[tuple[str, str], Plan] = {}
    for plan in plans:
        known = latest.get((plan.namespace, plan.name))
        if known is None or version_key(plan.version) > version_key(known.version):
            latest[plan.namespace, plan.name] = plan
    return list(latest.values())


def template_rows(plans: Sequence[Plan]) -> tuple[TemplateRow, ...]:
    """Every published version, by namespace, name and version."""
    latest = {each.hash for each in latest_plans(plans)}
    ordered = sorted(plans, key=lambda each: (each.namespace, each.name, version_key(each.version)))
    return tuple(_row(each, is_latest=each.hash in latest) for each in ordered)


def find_template(plans: Sequence[Plan], namespace: str, name: str, version: str | None) -> Plan:
    """The plan of a version; of the highest for None or `latest`. NotFoundError names the nearest."""
    versions = {each.version: each for each in plans if (each.namespace, each.name) == (namespace, name)}
    if not versions:
        places = {f"{each.namespace}/{each.name}" for each in plans}
        hint = did_you_mean(f"{namespace}/{name}", places, kind="templates")
        raise NotFoundError(f"No template {namespace[:80]}/{name[:80]} is published; {hint}")
    if version is None or version == "latest":
        return versions[max(versions, key=version_key)]
    if version not in versions:
        known = ", ".join(sorted(versions, key=version_key))
        raise NotFoundError(
            f"Template {namespace}/{name} has no version {version[:80]!r}.",
            next_step=f"Published are: {known}.",
        )
    return versions[version]


def template_details(plan: Plan, plans: Sequence[Plan], run_seconds: Mapping[str, float]) -> TemplateDetails:
    """One version with its graph. `run_seconds`: median run time by step name, where it was measured."""
    relations = dag(plan)
    steps = tuple(
        TemplateStep(
            name=step.name,
            handler=step.handler,
            queue=step.queue,
            parents=step.parents,
            children=row.child_names,
            min_depth_from_root=row.min_depth_from_root,
            dependency_level=row.dependency_level,
            max_attempts=max(1, step.retry.max_attempts),
            timeout_seconds=step.timeout_ms / 1000,
            run_seconds=run_seconds.get(step.name),
        )
        for step, row in zip(plan.steps, relations, strict=True)
    )
    levels: dict[int, list[str]] = {}
    for row in relations:
        levels.setdefault(row.dependency_level, []).append(row.step)
    path, seconds = critical_path(plan, run_seconds)
    versions = [each.version for each in plans if (each.namespace, each.name) == (plan.namespace, plan.name)]
    latest = find_template(plans, plan.namespace, plan.name, None)
    return TemplateDetails(
        template=_row(plan, is_latest=latest.hash == plan.hash),
        versions=tuple(sorted(versions, key=version_key)),
        plan=json.loads(plan_json(plan)),
        steps=steps,
        levels=tuple(tuple(levels[number]) for number in sorted(levels)),
        critical_path=path,
        critical_path_seconds=seconds,
        mermaid=mermaid(plan),
    )


def critical_path(plan: Plan, run_seconds: Mapping[str, float]) -> tuple[tuple[str, ...], float | None]:
    """The path of steps that takes longest, and its seconds; by number of steps, and None, without any measure.

    Of equal ones it is the path with most steps, then the one whose steps stand first in the template.
    """
    seconds = [run_seconds.get(step.name, 0.0) for step in plan.steps]
    levels = [row.dependency_level for row in dag(plan)]
    longest: dict[int, tuple[float, int]] = {}
    before: dict[int, int | None] = {}
    for at in sorted(range(len(plan.steps)), key=levels.__getitem__):
        parent = max(plan.parents[at], key=longest.__getitem__, default=None)
        took, steps = (0.0, 0) if parent is None else longest[parent]
        longest[at], before[at] = (took + seconds[at], steps + 1), parent
    if not longest:
        return (), None
    end: int | None = max(range(len(plan.steps)), key=longest.__getitem__)
    is_measured = any(step.name in run_seconds for step in plan.steps)
    total = max(longest.values())[0]
    path: list[str] = []
    while end is not None:
        path.append(plan.steps[end].name)
        end = before[end]
    return tuple(reversed(path)), round(total, 6) if is_measured else None


def _row(plan: Plan, *, is_latest: bool) -> TemplateRow:
    return TemplateRow(
        namespace=plan.namespace,
        name=plan.name,
        version=plan.version,
        plan_hash=plan.hash,
        description=plan.description,
        steps=len(plan.steps),
        is_latest=is_latest,
    )
