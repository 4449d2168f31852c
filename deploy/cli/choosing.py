"""Which tasks a command means: by their ids, or by a filter over the log or the projection's store."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from .options import Namespace, Since, States, Tags, TemplateName, Text, Until, known_states, parse_moment

if TYPE_CHECKING:
    from tasker_kafka.deploy.reading import TaskFilter, TaskRow

    from .session import Session

__all__ = ["Chosen", "rows_of_log"]


@dataclass(frozen=True)
class Chosen:
    """The options that choose tasks; all of them must fit."""

    states: States = None
    namespace: Namespace = None
    template: TemplateName = None
    tags: Tags = None
    text: Text = None
    since: Since = None
    until: Until = None

    @property
    def says_anything(self) -> bool:
        """Whether not every task is meant."""
        return any((self.states, self.namespace, self.template, self.tags, self.text, self.since, self.until))

    def filter(self, now_ms: int) -> TaskFilter:
        """As `deploy.reading` takes it. BadParameter for a state or time that is none."""
        from tasker_kafka.deploy.reading import TaskFilter

        return TaskFilter(
            states=known_states(self.states),
            namespace=self.namespace,
            template=self.template,
            tags=tuple(self.tags or ()),
            text=self.text,
            since=None if self.since is None else parse_moment(self.since, now_ms),
            until=None if self.until is None else parse_moment(self.until, now_ms),
        )


async def rows_of_log(session: Session, chosen: Chosen) -> list[TaskRow]:
    """Every task that is meant, newest first, as of the partitions' last checkpoints."""
    from tasker_kafka.deploy.reading import list_tasks

    wanted = chosen.filter(session.log.now_ms())
    async with session.plans() as store:
        return await list_tasks(session.log, session.names, store.get, wanted)
