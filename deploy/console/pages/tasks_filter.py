"""What the task list shows, as it is typed, as it stands in the address, and as the projection is asked. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final
from urllib.parse import urlencode

import msgspec

from tasker_kafka.schemas.words import TaskStatus
from tasker_kafka.streams.projection import TaskQuery

__all__ = ["FIELDS", "Filter", "parse_time"]

FIELDS: Final = ("text", "namespace", "template", "tag", "after", "before")
"""Typed filters, by their names in the address."""


class Filter(msgspec.Struct, frozen=True, kw_only=True):
    """The list's filters as they were typed; an empty text filters nothing."""

    states: tuple[TaskStatus, ...] = ()
    text: str = ""
    namespace: str = ""
    template: str = ""
    tag: str = ""
    """One or more, separated by commas; a task must have all."""
    after: str = ""
    before: str = ""
    """Times of creation in UTC: `2026-01-31` or `2026-01-31T09:30`."""

    @classmethod
    def from_address(cls, values: Mapping[str, str]) -> Filter:
        """The filter of an address's query; what it does not know is passed over, so that old links work."""
        states = tuple(
            TaskStatus(each) for each in values.get("state", "").split(",") if each in set(TaskStatus)
        )
        return cls(states=states, **{name: values.get(name, "")[:200] for name in FIELDS})

    def address(self) -> str:
        """The same as a query of an address; empty without a filter."""
        parts = {"state": ",".join(self.states), **{name: getattr(self, name) for name in FIELDS}}
        given = {name: value for name, value in parts.items() if value}
        return f"?{urlencode(given)}" if given else "?"

    def query(self, *, with_states: bool = True) -> TaskQuery:
        """As the projection is asked. ValueError names the time that is none."""
        return TaskQuery(
            states=self.states if with_states else (),
            text=self.text.strip() or None,
            namespace=self.namespace.strip() or None,
            template=self.template.strip() or None,
            tags=tuple(each.strip() for each in self.tag.split(",") if each.strip()),
            created_from=parse_time(self.after),
            created_to=parse_time(self.before),
        )

    def toggled(self, state: TaskStatus) -> Filter:
        """With this state if it was without, and the other way round."""
        every = {*self.states} ^ {state}
        return msgspec.structs.replace(self, states=tuple(each for each in TaskStatus if each in every))

    def said(self) -> str:
        """The filter in words, for whoever is about to act on what it finds."""
        parts = [f"{name} {getattr(self, name)!r}" for name in FIELDS if getattr(self, name)]
        if self.states:
            parts.insert(0, "state " + " or ".join(each.replace("_", " ") for each in self.states))
        return ", ".join(parts) or "no filter: every task"


def parse_time(text: str) -> int | None:
    """Milliseconds of a time in ISO 8601, UTC where it says none; None for an empty text. ValueError."""
    given = text.strip()
    if not given:
        return None
    try:
        found = datetime.fromisoformat(given)
    except ValueError:
        raise ValueError(f"{given[:40]!r} is no time: write 2026-01-31 or 2026-01-31T09:30 (UTC)") from None
    moment = found if found.tzinfo is not None else found.replace(tzinfo=UTC)
    return round(moment.timestamp() * 1000)
