"""Template files on their way to the templates topic: found, loaded for an environment, compiled, published."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tasker_kafka.schemas.errors import NotFoundError, TemplateError
from tasker_kafka.schemas.plan import Plan
from tasker_kafka.schemas.settings import Settings
from tasker_kafka.schemas.template import Finding, InvalidTemplate, compile_template, lint, load_template_file
from tasker_kafka.schemas.words import Delivery
from tasker_kafka.topics.log import Log
from tasker_kafka.topics.names import TopicNames
from tasker_kafka.topics.plans import PlanStore, Published, publish

from .watching import template_files

__all__ = ["find_published", "lint_files", "load_plans", "publish_files"]


def load_plans(
    paths: Sequence[Path], settings: Settings | None = None, *, environment: str | None = None
) -> dict[Path, list[Plan]]:
    """The plans of every template file that is, or lies below, these paths. InvalidTemplate names every fault.

    settings: what they say of the environment, variables and events; None: the defaults
    environment: another one than the settings'
    """
    settings = settings or Settings()
    variables = settings.template_variables()
    environment = environment or settings.environment
    files = template_files(paths)
    if not files:
        raise TemplateError(
            f"No template files in {', '.join(str(path) for path in paths)}.",
            next_step="Templates are files ending in .yaml or .yml.",
        )
    return {
        file: [
            compile_template(
                model,
                default_delivery=Delivery(settings.events.default_delivery),
                events_enabled=settings.events.enabled,
                deployment=settings.telemetry.deployment_environment or environment,
            )
            for model in load_template_file(file, environment=environment, variables=variables)
        ]
        for file in files
    }


def lint_files(paths: Sequence[Path], settings: Settings | None = None) -> list[Finding]:
    """Everything that is wrong or odd in these files, in every environment they name."""
    settings = settings or Settings()
    found: list[Finding] = []
    for file in template_files(paths):
        try:
            text = file.read_text(encoding="utf-8-sig")
        except UnicodeDecodeError as error:
            found.append(
                Finding(
                    code="not_utf8",
                    path="",
                    message=f"not UTF-8 at byte {error.start}: save it as UTF-8",
                    source=str(file),
                )
            )
            continue
        found += lint(text, source=str(file), variables=settings.template_variables())
        if not settings.events.enabled and not any(each.severity == "error" for each in found):
            found += _compiling_faults(file, settings)
    return found


def _compiling_faults(file: Path, settings: Settings) -> list[Finding]:
    try:
        load_plans([file], settings)
    except InvalidTemplate as error:
        return [*error.findings]
    return []


async def publish_files(
    log: Log,
    names: TopicNames,
    paths: Sequence[Path],
    *,
    publisher: str,
    settings: Settings | None = None,
    environment: str | None = None,
) -> list[Published]:
    """Publish the templates of these paths: all of them or none. `settings`, `environment` as of `load_plans`."""
    loaded = load_plans(paths, settings, environment=environment)
    sources = {
        plan.hash: file.read_text(encoding="utf-8-sig") for file, plans in loaded.items() for plan in plans
    }
    plans = [plan for each in loaded.values() for plan in each]
    return await publish(log, names, plans, sources=sources, publisher=publisher)


def find_published(store: PlanStore, reference: str) -> Plan:
    """The plan of `[namespace/]name[@version]`; the newest version without one. NotFoundError names what there is."""
    place, _, version = reference.partition("@")
    namespace, slash, name = place.rpartition("/")
    namespace = namespace if slash else "default"
    plan = store.resolve(namespace, name, version or None)
    if plan is None:
        versions = store.versions(namespace, name)
        known = sorted({f"{each.namespace}/{each.name}" for each in store.all()})
        there = (
            f"its versions: {', '.join(versions)}" if versions else f"published: {', '.join(known) or 'none'}"
        )
        raise NotFoundError(
            f"No template {reference!r} is published ({there}).",
            next_step="Give NAMESPACE/NAME[@VERSION], or publish it: `tasker template publish PATH`.",
        )
    return plan
