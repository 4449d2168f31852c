"""Finds the plan that a request means, and whether tasks of it could be carried out at all.

"No output can fail for ever" begins here: a plan whose topics do not exist must not get tasks. And a request is not
called unknown before `templates` was read to its end, because the publisher may have been a moment earlier.
"""

from __future__ import annotations

from tasker_kafka.schemas.errors import TopicsDrifted
from tasker_kafka.schemas.nearest import did_you_mean
from tasker_kafka.schemas.plan import Plan
from tasker_kafka.schemas.records import TaskRequest
from tasker_kafka.schemas.words import RejectionCode
from tasker_kafka.topics.log import Log
from tasker_kafka.topics.names import TopicNames
from tasker_kafka.topics.plans import PlanStore

from .plan_desk import topics_of
from .requests import Refused

__all__ = ["PlanSearch"]


class PlanSearch:
    """Template name and version → plan, for one intake lane."""

    def __init__(self, *, log: Log, names: TopicNames, plans: PlanStore) -> None:
        self._log = log
        self._names = names
        self._plans = plans
        self._carried: set[bytes] = set()
        """Hashes of plans whose topics exist."""
        self.unpublished: set[bytes] = set()
        """Schema fingerprints that no release has published, as of this batch."""
        self._has_caught_up = False

    def begin_batch(self) -> None:
        """What was unknown before may have been published since."""
        self.unpublished.clear()
        self._has_caught_up = False

    async def find(self, request: TaskRequest) -> Plan | Refused:
        """The plan, or why there is none."""
        place = (request.namespace, request.name, request.version)
        plan = self._plans.resolve(*place)
        if plan is None and not self._has_caught_up:
            # Once per batch is enough: what was published before a request of this batch was sent is there now.
            await self._plans.catch_up()
            self._has_caught_up = True
            plan = self._plans.resolve(*place)
        if plan is None:
            return Refused(
                RejectionCode.UNKNOWN_TEMPLATE, self._unknown(request), request_id=request.request_id
            )
        missing = await self._missing_topic(plan)
        if missing is not None:
            return Refused(
                RejectionCode.UNKNOWN_QUEUE,
                f"template {plan.namespace}/{plan.name} {plan.version} needs the topic {missing}, which does not "
                "exist; create it with `tasker topics create`, then send the request again",
                request_id=request.request_id,
            )
        return plan

    async def _missing_topic(self, plan: Plan) -> str | None:
        if plan.hash in self._carried:
            return None
        for topic in topics_of(plan, self._names):
            try:
                await self._log.partition_count(topic)
            except TopicsDrifted:
                return topic
        self._carried.add(plan.hash)
        return None

    def _unknown(self, request: TaskRequest) -> str:
        namespace, name = request.namespace[:80], request.name[:80]
        versions = self._plans.versions(request.namespace, request.name)
        if versions:
            asked = (request.version or "latest")[:80]
            return f"template {namespace}/{name} has no version {asked!r}; published: {', '.join(versions[-12:])}"
        known = {f"{plan.namespace}/{plan.name}" for plan in self._plans.all()}
        hint = did_you_mean(f"{namespace}/{name}", known, kind="templates")
        return f"no template {namespace}/{name} is published; {hint}"
