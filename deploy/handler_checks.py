"""Do the handlers of these modules fit the templates? Asked by `template lint -m` and when a worker starts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from tasker_kafka.handlers import HandlerRegistry, check_handler
from tasker_kafka.handlers.lint import missing_publishers
from tasker_kafka.handlers.modules import look_here
from tasker_kafka.schemas.errors import ConfigurationError
from tasker_kafka.schemas.plan import Plan
from tasker_kafka.schemas.template import Finding

__all__ = ["check_plans", "load_registry", "queues_served", "roles_of"]


def load_registry(modules: Sequence[str]) -> HandlerRegistry:
    """The handlers of these modules, which may lie in the folder the command was started in."""
    look_here()
    registry = HandlerRegistry()
    for module in modules:
        registry.load(module)
    return registry


def roles_of(modules: Sequence[str], files: Sequence[Path] = ()) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Those of these modules that hold step handlers, and those that subscribers come from.

    files: of subscriptions, which may name classes of any of the modules
    ConfigurationError for a module with neither, and for what is wrong with what they hold.
    """
    from tasker_kafka.handlers.registry import holds_handlers
    from tasker_kafka.handlers.subscribing.loading import holds_subscribers

    from .subscribing import Wanted, load_wanted

    look_here()
    subscribers = tuple(each for each in modules if files or holds_subscribers(each))
    handlers = tuple(each for each in modules if holds_handlers(each) or each not in subscribers)
    load_registry(handlers)
    if subscribers:
        load_wanted(Wanted(modules=subscribers, files=tuple(files)))
    return handlers, subscribers


def check_plans(loaded: Mapping[Path, Sequence[Plan]], registry: HandlerRegistry) -> list[Finding]:
    """Steps whose handler is not there, or does not fit."""
    found: list[Finding] = []
    for file, plans in loaded.items():
        for plan in plans:
            found += _check_plan(str(file), plan, registry)
    return found


def queues_served(plans: Iterable[Plan], registry: HandlerRegistry) -> tuple[str, ...]:
    """The queues of all steps whose handler is here, sorted. ConfigurationError when there is none."""
    plans = tuple(plans)
    found = {step.queue for plan in plans for step in plan.steps if step.handler in registry}
    if not found:
        wanted = sorted({step.handler for plan in plans for step in plan.steps})
        raise ConfigurationError(
            "No published template names a handler of these modules "
            f"(handlers here: {', '.join(registry.names)}; in templates: {', '.join(wanted) or 'none'}).",
            next_step="Publish the template (tasker template publish PATH), or say which queues with --queue.",
        )
    return tuple(sorted(found))


def _check_plan(source: str, plan: Plan, registry: HandlerRegistry) -> Iterable[Finding]:
    for position, step in enumerate(plan.steps):
        definition = registry.get(step.handler)
        path = f"steps[{position}].handler.callable"
        if definition is None:
            message = f"no handler {step.handler} in the given modules ({', '.join(registry.names)})"
            yield Finding(code="unknown_handler", path=path, message=message, source=source)
            continue
        for each in check_handler(step, definition):
            yield Finding(
                code="handler_misfit", path=path, message=each.message, source=source, severity=each.severity
            )
        for at, message in missing_publishers(step, registry):
            path = f"steps[{position}].publishes_events[{at}].publisher"
            yield Finding(code="unknown_publisher", path=path, message=message, source=source)
