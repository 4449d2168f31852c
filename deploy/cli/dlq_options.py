"""The options that say which dead letters are meant, alike for every `tasker dlq` command."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from .completing import complete_namespace
from .options import Group, parse_moment

if TYPE_CHECKING:
    from tasker_kafka.handlers.delivery.journey import FailureClass
    from tasker_kafka.handlers.delivery.letters import LetterFilter

__all__ = [
    "Event",
    "Id",
    "Key",
    "Kind",
    "LetterOptions",
    "Namespace",
    "Place",
    "Places",
    "Since",
    "Subscription",
    "Task",
    "Until",
]

Place = Annotated[
    str, typer.Argument(metavar="QUEUE/PARTITION:OFFSET", help="A letter as `dlq list` shows it.")
]
Places = Annotated[
    list[str] | None, typer.Argument(metavar="PLACE", help="Letters as `dlq list` shows them.")
]
Namespace = Annotated[
    list[str] | None,
    typer.Option(
        "--namespace",
        help="Of this namespace's events, in any queue; group:NAME for a group's own; repeatable: any of them.",
        autocompletion=complete_namespace,
    ),
]
Subscription = Annotated[str | None, typer.Option("--subscription", help="Of this subscription of it.")]
Event = Annotated[
    list[str] | None,
    typer.Option("--event", help="Events of this name or pattern, as payment.*; repeatable."),
]
Kind = Annotated[
    str | None,
    typer.Option("--class", help="Letters of this class: handler, timeout, schema, decode, expired, …"),
]
Key = Annotated[
    str | None, typer.Option("--key", "--lane", help="Letters of this key: a whole lane, in its order.")
]
Id = Annotated[list[str] | None, typer.Option("--id", help="Letters of this event id; repeatable.")]
Task = Annotated[str | None, typer.Option("--task", help="Letters of events that this task published.")]
Since = Annotated[
    str | None, typer.Option("--since", help="Died then or later: 2026-01-31T09:30Z, or 30m, 2h, 7d ago.")
]
Until = Annotated[str | None, typer.Option("--until", help="Died before; as --since.")]


@dataclass(frozen=True)
class LetterOptions:
    """The options that say which letters are meant; all of them must fit."""

    namespaces: Namespace = None
    group: Group = None
    subscription: Subscription = None
    events: Event = None
    kind: Kind = None
    key: Key = None
    ids: Id = None
    task: Task = None
    since: Since = None
    until: Until = None

    @property
    def says_anything(self) -> bool:
        """Whether not every letter is meant."""
        return any(vars(self).values())

    def filter(
        self, now_ms: int, states: frozenset[str] | None, places: Sequence[str] | None = None
    ) -> LetterFilter:
        """The filter; `states` None: open letters. ConfigurationError or DecodeError for a value that is none."""
        from tasker_kafka.handlers.delivery.letters import LetterFilter, LetterState, parse_place
        from tasker_kafka.schemas.event_patterns import parse_patterns
        from tasker_kafka.schemas.identity import format_id, parse_id

        return LetterFilter(
            queues=frozenset(self.namespaces) if self.namespaces else None,
            places=frozenset(map(parse_place, places)) if places else None,
            group=self.group,
            subscription=self.subscription,
            events=parse_patterns(self.events, is_foreign=True) if self.events else None,
            failure_class=None if self.kind is None else failure_class(self.kind),
            key=None if self.key is None else self.key.encode(),
            event_ids=frozenset(self.ids) if self.ids else None,
            task_id=None if self.task is None else format_id(parse_id(self.task)),
            since=None if self.since is None else parse_moment(self.since, now_ms),
            until=None if self.until is None else parse_moment(self.until, now_ms),
            states=frozenset({LetterState.OPEN} if states is None else map(LetterState, states)),
        )


def failure_class(text: str) -> FailureClass:
    """The class of this name. BadParameter names those there are."""
    from tasker_kafka.handlers.delivery.journey import FailureClass

    try:
        return FailureClass(text)
    except ValueError:
        raise typer.BadParameter(
            f"{text!r} is no class; there are {', '.join(each.value for each in FailureClass)}",
            param_hint="--class",
        ) from None
