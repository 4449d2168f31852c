"""The plans a lane has in use, each with its topics known to the outbox.

The inner loop may not wait, and `Outbox.send` may only be given topics whose partitions are known. So a plan is
made ready once, outside the loop; the loop stops at the first command whose plan is not.
"""

from __future__ import annotations

from tasker_kafka.schemas.plan import Plan
from tasker_kafka.schemas.records import Command, StartTask
from tasker_kafka.topics.log import Outbox
from tasker_kafka.topics.names import TopicNames
from tasker_kafka.topics.plans import PlanStore

__all__ = ["PlanDesk", "plan_hash_for", "topics_of"]


def plan_hash_for(command: Command) -> bytes | None:
    """The plan by which a command without a task is decided: the one that a StartTask names."""
    body = command.body
    return body.plan_hash if isinstance(body, StartTask) else None


def topics_of(plan: Plan, names: TopicNames) -> tuple[str, ...]:
    """Every topic that tasks of this plan are written to, apart from the common ones."""
    topics = [names.steps(queue) for queue in plan.queues]
    if plan.publishes_events or any(step.publishes_events for step in plan.steps):
        topics.append(names.domain_events(plan.namespace))
    return tuple(topics)


class PlanDesk:
    """Plan hash → plan, of those that are ready."""

    def __init__(self, *, plans: PlanStore, outbox: Outbox, names: TopicNames) -> None:
        self._plans = plans
        self._outbox = outbox
        self._names = names
        self.ready: dict[bytes, Plan] = {}

    def known(self, plan_hash: bytes) -> Plan | None:
        """The plan as far as templates have been read, ready or not."""
        return self.ready.get(plan_hash) or self._plans.get(plan_hash)

    async def prepare(self, plan_hash: bytes) -> Plan | None:
        """Make a plan ready; reads `templates` to its end before it says that there is none.

        TopicsDrifted when a topic of the plan has gone since intake checked it: nothing could be written.
        """
        plan = self.known(plan_hash)
        if plan is None:
            await self._plans.catch_up()
            plan = self._plans.get(plan_hash)
        if plan is not None and plan_hash not in self.ready:
            await self._outbox.warm(topics_of(plan, self._names))
            self.ready[plan_hash] = plan
        return plan
