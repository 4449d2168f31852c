"""`tasker generate subscriber`: a class with a method for each event, tests of its delivery, its registration."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from tasker_kafka.handlers.subscribing.base import method_name
from tasker_kafka.schemas.event_patterns import EventPattern, parse_patterns

from .errors import ScaffoldError
from .handler import import_line, importable
from .layout import Layout
from .names import class_name, identifier, parse_group
from .text import WIDTH, filled, wrapped
from .writing import Draft, NewFile, Registration

__all__ = ["SUBSCRIBERS_DOCSTRING", "new_subscriber"]

SUBSCRIBERS_DOCSTRING: Final = "The subscribers; `tasker subscriber --module` runs what is imported here."
_WORD: Final = re.compile(r"[A-Za-z0-9_-]+")
_HELPERS: Final = ("error_category", "metric_tags", "timing_metrics")


def new_subscriber(name: str, layout: Layout, *, events: Sequence[str], metrics: bool = False) -> Draft:
    """The files of a subscriber whose consumer group is `name`.

    events: patterns of event names. metrics: count and time what it handles, with OpenTelemetry.
    ScaffoldError for a name that none may have, ConfigurationError for a pattern that none may subscribe to.
    """
    parse_group(name)
    routes = _routes(events)
    module = identifier(name)
    kind = class_name(name.lower().removesuffix("subscriber").rstrip("_-"), "Subscriber", {"BaseSubscriber"})
    folder = layout.folder("subscribers")
    return Draft(
        files=(
            NewFile(folder / f"{module}.py", _code(name, kind, events, routes, metrics)),
            NewFile(layout.tests / f"test_{module}.py", _test(name, kind, routes, layout, module)),
            *importable(layout),
        ),
        registrations=(Registration(folder, module, SUBSCRIBERS_DOCSTRING),),
        notes=(f"Run it: tasker subscriber --module {layout.module('subscribers')}",),
    )


def _routes(events: Sequence[str]) -> dict[str, list[EventPattern]]:
    """Method → the patterns it takes."""
    found: dict[str, list[EventPattern]] = {}
    for pattern in parse_patterns(events).patterns:
        odd = [word for word in pattern.words if not _WORD.fullmatch(word)]
        if odd:
            raise ScaffoldError(
                f"The event {pattern.text!r} has letters that no name in code may have.",
                next_step="Subscribe to it by hand: @subscriber.on(...), docs/how-to/generate.md.",
            )
        found.setdefault(method_name(pattern), []).append(pattern)
    return found


def _code(
    name: str, kind: str, events: Sequence[str], routes: dict[str, list[EventPattern]], metrics: bool
) -> str:
    patterns = [each.text for found in routes.values() for each in found]
    listed = [f'"{text}"' for text in patterns]
    return filled(
        "subscriber.py.tmpl",
        group=name,
        subscribe_to=_tuple("subscribe_to", listed, indent=4),
        methods="".join(_method(method, found) for method, found in routes.items()),
        metrics_import="from opentelemetry import metrics\n" if metrics else "",
        helpers_import=import_line("tasker_kafka.handlers.subscribing.metrics", [*_HELPERS]) + "\n"
        if metrics
        else "",
        instruments=filled("subscriber_metrics.tmpl", prefix=identifier(name)) if metrics else "",
        hooks=filled("subscriber_hooks.tmpl") if metrics else "",
        **{"class": kind},
    )


def _method(method: str, patterns: list[EventPattern]) -> str:
    head = wrapped(
        f"async def {method}(", ["self", "event: DomainEvent[dict[str, Any]]"], ") -> None:", indent=4
    )
    text = f'"""Handle {" and ".join(each.text for each in patterns)}."""'
    shown = text if len(text) + 8 <= WIDTH else '"""Handle the event."""'
    return f"\n    {head}\n        {shown}\n        self.record(event)\n"


def _test(name: str, kind: str, routes: dict[str, list[EventPattern]], layout: Layout, module: str) -> str:
    examples = [(_example(each), method) for method, found in routes.items() for each in found]
    shown = [f'("{event}", "{method}")' for event, method in dict.fromkeys(examples)]
    return filled(
        "test_subscriber.py.tmpl",
        group=name,
        routes=wrapped("ROUTES = [", shown, "]"),
        subscription=f'f"{kind}.{{method}}"',
        letters="== 1",
        **{"class": kind, "import": import_line(layout.module("subscribers", module), [kind])},
    )


def _example(pattern: EventPattern) -> str:
    """A name that the pattern means."""
    segments = ["example" if each == "*" else each for each in pattern.segments]
    return ".".join([*segments, *(["example"] if pattern.is_open else [])])


def _tuple(target: str, items: list[str], *, indent: int) -> str:
    if len(items) == 1:
        return f"{target} = ({items[0]},)"
    return wrapped(f"{target} = (", items, ")", indent=indent)
