"""From what a test calls a template or a subscriber to plans that are published and groups that are served."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from os import PathLike
from pathlib import Path

from tasker_kafka.handlers.lint import check_handler
from tasker_kafka.handlers.registry import HandlerRegistry
from tasker_kafka.handlers.subscribing.base import BaseSubscriber
from tasker_kafka.handlers.subscribing.subscriber import Subscriber
from tasker_kafka.handlers.subscribing.subscription import SubscriberSpec
from tasker_kafka.schemas.errors import ConfigurationError
from tasker_kafka.schemas.nearest import nearest
from tasker_kafka.schemas.plan import Plan
from tasker_kafka.schemas.template import Template, TemplateModel, compile_template, load_template_file

__all__ = ["SubscriberSource", "TemplateSource", "check_handlers", "plans_from", "specs_from"]

TemplateSource = Template | TemplateModel | Plan | PathLike[str] | str
"""A template, a plan, or the path of a YAML file or of a folder of them."""

SubscriberSource = Subscriber | BaseSubscriber | type[BaseSubscriber] | SubscriberSpec
"""A subscriber, or a class of one that needs no config; each is a group."""

_SUFFIXES = frozenset({".yaml", ".yml"})


def plans_from(
    sources: Iterable[TemplateSource],
    *,
    environment: str | None = None,
    variables: Mapping[str, str | None] | None = None,
) -> list[Plan]:
    """The plans, in the order given. InvalidTemplate names every fault of a template.

    environment: whose overlay is laid over the base, and which events name as theirs; plans say both already
    """
    deployment = environment or ""
    plans: list[Plan] = []
    for source in sources:
        if isinstance(source, Plan):
            plans.append(source)
        elif isinstance(source, Template):
            plans.append(source.compile(environment=environment, deployment=deployment))
        elif isinstance(source, TemplateModel):
            plans.append(compile_template(source, deployment=deployment))
        else:
            for path in _files(Path(source)):
                models = load_template_file(path, environment=environment, variables=variables)
                plans += [compile_template(model, deployment=deployment) for model in models]
    return plans


def specs_from(sources: Iterable[SubscriberSource]) -> list[SubscriberSpec]:
    """What the subscribers declare, in the order given. ConfigurationError for what is none."""
    specs: list[SubscriberSpec] = []
    for source in sources:
        made = source() if isinstance(source, type) and issubclass(source, BaseSubscriber) else source
        if isinstance(made, SubscriberSpec):
            specs.append(made)
        elif isinstance(made, (Subscriber, BaseSubscriber)):
            specs.append(made.spec)
        else:
            raise ConfigurationError(
                f"{source!r} is no subscriber",
                next_step='give a Subscriber("group"), or a BaseSubscriber class',
            )
    return specs


def check_handlers(plans: Iterable[Plan], registry: HandlerRegistry) -> None:
    """ConfigurationError naming every step whose handler is missing, or does not fit the step."""
    faults: list[str] = []
    for plan in plans:
        for step in plan.steps:
            handler = registry.get(step.handler)
            place = f"{plan.namespace}/{plan.name}, step {step.name}"
            if handler is None:
                guess = nearest(step.handler, registry.names)
                hint = "" if guess is None else f"; did you mean {guess!r}?"
                faults.append(f"{place}: there is no handler {step.handler!r}{hint}")
            else:
                findings = check_handler(step, handler)
                faults += [f"{place}: {each.message}" for each in findings if each.severity == "error"]
    if faults:
        raise ConfigurationError(
            "the handlers do not fit the templates:\n" + "\n".join(f"  - {fault}" for fault in faults),
            next_step="give the module that holds them as `handlers`, or pass strict=False and see the steps wait",
        )


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    found = sorted(each for each in path.rglob("*") if each.suffix in _SUFFIXES)
    if not found:
        raise ConfigurationError(f"{path} holds no template file (*.yaml, *.yml)")
    return found
