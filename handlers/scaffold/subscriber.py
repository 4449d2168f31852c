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
from .text import WIDTH, filled, names_list, wrapped
from .writing import Draft, NewFile, Registration

__all__ = ["SUBSCRIBERS_DOCSTRING", "new_subscriber"]

SUBSCRIBERS_DOCSTRING: Final = "The subscribers; `tasker subscriber --module` runs what is imported here."
_WORD: Final = re.compile(r"[A-Za-z0-9_-]+")
_LONGEST_SUBSCRIPTION: Final = 128
"""Of a class and its method: retries and dead letters name them."""
_HELPERS: Final = ("error_category", "metric_tags", "timing_metrics")


@dataclass(frozen=True)
class _Wanted:
    group: str
    module: str
    kind: str
    routes: dict[str, list[EventPattern]]
    """Method → the patterns it takes."""
    metrics: bool

    @property
    def test(self) -> str:
        """The tests' module: a handler may have the same name."""
        return f"test_{self.module.removesuffix('subscriber').rstrip('_')}_subscriber"


def new_subscriber(name: str, layout: Layout, *, events: Sequence[str], metrics: bool = False) -> Draft:
    """The files of a subscriber whose consumer group is `name`.

    events: patterns of event names. metrics: count and time what it handles, with OpenTelemetry.
    ScaffoldError for a name that none may have, ConfigurationError for a pattern that none may subscribe to.
    """
    parse_group(name)
    wanted = _Wanted(name, identifier(name), _class(name), _routes(events), metrics)
    for method in wanted.routes:
        if len(subscription := f"{wanted.kind}.{method}") > _LONGEST_SUBSCRIPTION:
            raise ScaffoldError(
                f"The subscription {subscription} has {len(subscription)} characters, "
                f"at most {_LONGEST_SUBSCRIPTION} are accepted.",
                next_step="Shorten the subscriber's name, or subscribe with a pattern.",
            )
    folder = layout.folder("subscribers")
    return Draft(
        files=(
            NewFile(folder / f"{wanted.module}.py", _code(wanted)),
            NewFile(layout.tests / f"{wanted.test}.py", _test(wanted, layout)),
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
        exports=names_list("__all__", [wanted.kind]),
        class_line=wrapped(f"class {wanted.kind}(", ["BaseSubscriber"], "):"),
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
    module = layout.module("subscribers", wanted.module)
    return filled(
        "test_subscriber.py.tmpl",
        group=wanted.group,
        typing="from typing import Any\n\n" if wanted.metrics else "",
        imports=import_line(module, [wanted.kind]),
        module=f'MODULE = "{module}"\n' if wanted.metrics else "",
        kind=wanted.kind,
        routes=wrapped("ROUTES = [", [_pair(*each) for each in dict.fromkeys(examples)], "]"),
        metrics=filled("test_subscriber_metrics.tmpl") if wanted.metrics else "",
    )


def _pair(event: str, method: str) -> str:
    """A pair as an item of a list, which stands in four columns."""
    return wrapped("(", [f'"{event}"', f'"{method}"'], ")", indent=4, after=1)


def _example(pattern: EventPattern) -> str:
    """A name that the pattern means."""
    segments = ["example" if each == "*" else each for each in pattern.segments]
    return ".".join([*segments, *(["example"] if pattern.is_open else [])])


def _tuple(target: str, items: list[str], *, indent: int) -> str:
    if len(items) == 1:
        return f"{target} = ({items[0]},)"
    return wrapped(f"{target} = (", items, ")", indent=indent)
