"""What the writer's thread asks of the log: it waits there while the loop finds the answer here."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, Final, TypeVar

from tasker_kafka.schemas.errors import LogError
from tasker_kafka.schemas.plan import Plan
from tasker_kafka.topics.log import Log
from tasker_kafka.topics.names import TopicNames
from tasker_kafka.topics.plans import PlanStore
from tasker_kafka.topics.releases import is_published

__all__ = ["LogAnswers"]

T = TypeVar("T")
_SECONDS: Final = 30.0
_MOST_KNOWN: Final = 1_000


class LogAnswers:
    """Made on the loop that uses the log; asked from another thread. LogError when there is no answer in time."""

    def __init__(self, log: Log, names: TopicNames, plans: PlanStore) -> None:
        self._log = log
        self._names = names
        self._plans = plans
        self._loop = asyncio.get_running_loop()
        self._known: dict[bytes, bool] = {}
        self._missed: set[bytes] = set()

    def published(self, plan_hash: bytes) -> Plan | None:
        """The published plan of this hash; None: not yet, and asking again costs nothing.

        SchemaUnknown: a newer release published it.
        """
        plan = self._plans.get(plan_hash)
        if plan is None and plan_hash not in self._missed:
            # Published a moment ago, perhaps: the topics are read side by side.
            self._ask(self._plans.catch_up(), "the published templates")
            plan = self._plans.get(plan_hash)
            if plan is None and len(self._missed) < _MOST_KNOWN:
                self._missed.add(
                    plan_hash
                )  # if it is published later, those who follow the topic will have it
        return plan

    def is_newer(self, fingerprint: bytes) -> bool:
        """Whether a release that we do not know has published this schema."""
        known = self._known.get(fingerprint)
        if known is None:
            asked = is_published(self._log, self._names, fingerprint, timeout_ms=int(_SECONDS * 1000))
            known = self._ask(asked, "the published schemas")
            if len(self._known) < _MOST_KNOWN:
                self._known[fingerprint] = known
        return known

    def _ask(self, question: Coroutine[Any, Any, T], what: str) -> T:
        future = asyncio.run_coroutine_threadsafe(question, self._loop)
        try:
            return future.result(_SECONDS)
        except TimeoutError:
            future.cancel()
            raise LogError(f"{what} cannot be read: no answer within {_SECONDS:g} s") from None
