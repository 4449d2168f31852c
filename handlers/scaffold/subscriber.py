"""`tasker generate subscriber`: a class with a method for each event, tests of its delivery, its registration."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
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


@dataclass(frozen=True)
class _Wanted:
    group: str
    module: str
    kind: str
    routes: dict[str, list[EventPattern]]
    """Method → the patterns it takes."""
    metrics: bool


def new_subscriber(name: str, layout: Layout, *, events: Sequence[str], metrics: bool = False) -> Draft:
    """The files of a subscriber whose consumer group is `name`.

    events: patterns of event names. metrics: count and time what it handles, with OpenTelemetry.
    ScaffoldError for a name that none may have, ConfigurationError for a pattern that none may subscribe to.
    """
    parse_group(name)
    wanted = _Wanted(name, identifier(name), _class(name), _routes(events), metrics)
    folder = layout.folder("subscribers")
    return Draft(
        files=(
            NewFile(folder / f"{wanted.module}.py", _code(wanted)),
            NewFile(layout.tests / f"test_{wanted.module}.py", _test(wanted, layout)),
            *importable(layout),
        ),
        registrations=(Registration(folder, wanted.module, SUBSCRIBERS_DOCSTRING),),
        notes=(f"Run it: tasker subscriber --module {layout.module('subscribers')}",),
    )


def _class(name: str) -> str:
    plain = name.lower().removesuffix("subscriber").rstrip("_-")
    kind = class_name(plain, "Subscriber")
    return kind if kind != "BaseSubscriber" else class_name(plain, "GroupSubscriber")


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


def _code(wanted: _Wanted) -> str:
    patterns = [f'"{each.text}"' for found in wanted.routes.values() for each in found]
    helpers = import_line("tasker_kafka.handlers.subscribing.metrics", [*_HELPERS]) + "\n"
    return filled(
        "subscriber.py.tmpl",
        group=wanted.group,
        subscribe_to=_tuple("subscribe_to", patterns, indent=4),
        methods="".join(_method(method, found) for method, found in wanted.routes.items()),
        metrics_import="from opentelemetry import metrics\n" if wanted.metrics else "",
        helpers_import=helpers if wanted.metrics else "",
        instruments=_instruments(wanted.module) if wanted.metrics else "",
        hooks=filled("subscriber_hooks.tmpl") if wanted.metrics else "",
        **{"class": wanted.kind},
    )


def _instruments(prefix: str) -> str:
    counter = [f'"{prefix}.events"', '"1"', '"Events by result"']
    histogram = [f'"{prefix}.duration"', '"s"', '"As the events say it"']
    lines = [
        "_meter = metrics.get_meter(__name__)",
        wrapped("EVENTS = _meter.create_counter(", counter, ")"),
        wrapped("DURATIONS = _meter.create_histogram(", histogram, ")"),
    ]
    return "\n" + "\n".join(lines) + "\n"


def _method(method: str, patterns: list[EventPattern]) -> str:
    head = wrapped(
        f"async def {method}(", ["self", "event: DomainEvent[dict[str, Any]]"], ") -> None:", indent=4
    )
    text = f'"""Handle {" and ".join(each.text for each in patterns)}."""'
    shown = text if len(text) + 8 <= WIDTH else '"""Handle the event."""'
    return f"\n    {head}\n        {shown}\n        self.record(event)\n"


def _test(wanted: _Wanted, layout: Layout) -> str:
    examples = [(_example(each), method) for method, found in wanted.routes.items() for each in found]
    shown = [f'("{event}", "{method}")' for event, method in dict.fromkeys(examples)]
    own = {"class": wanted.kind}
    imports = [import_line(layout.module("subscribers", wanted.module), [wanted.kind])]
    metrics = ""
    if wanted.metrics:
        imports.insert(0, import_line(layout.module("subscribers"), [wanted.module]))
        metrics = filled("test_subscriber_metrics.tmpl", module=wanted.module, **own)
    return filled(
        "test_subscriber.py.tmpl",
        group=wanted.group,
        typing="from typing import Any\n\n" if wanted.metrics else "",
        routes=wrapped("ROUTES = [", shown, "]"),
        metrics=metrics,
        **own,
        **{"import": "\n".join(imports)},
    )


def _example(pattern: EventPattern) -> str:
    """A name that the pattern means."""
    segments = ["example" if each == "*" else each for each in pattern.segments]
    return ".".join([*segments, *(["example"] if pattern.is_open else [])])


def _tuple(target: str, items: list[str], *, indent: int) -> str:
    if len(items) == 1:
        return f"{target} = ({items[0]},)"
    return wrapped(f"{target} = (", items, ")", indent=indent)
