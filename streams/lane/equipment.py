"""What all lanes of a process work with."""

from __future__ import annotations

from dataclasses import dataclass

from tasker_kafka.schemas.codec import Codec
from tasker_kafka.schemas.codec import codec as default_codec
from tasker_kafka.topics.log import Log, Outbox
from tasker_kafka.topics.names import TopicNames
from tasker_kafka.topics.plans import PlanStore

from .settings import LaneSettings

__all__ = ["LaneEquipment"]


@dataclass(frozen=True, kw_only=True, slots=True)
class LaneEquipment:
    """Shared by the engine's and the intake's lanes. `plans` and `outbox` are started, and stopped, by whoever made
    them."""

    log: Log
    names: TopicNames
    plans: PlanStore
    outbox: Outbox
    settings: LaneSettings
    instance: str
    """Names the owner in what it writes."""
    codec: Codec = default_codec
