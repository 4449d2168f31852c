"""What the parts of a member work with."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from tasker_kafka.handlers.event_metrics import EventMetrics
from tasker_kafka.handlers.subscribing.subscription import SubscriberSpec
from tasker_kafka.handlers.worker.tasks import BackgroundTasks
from tasker_kafka.schemas.codec import Codec
from tasker_kafka.topics.crash_points import CrashPoints
from tasker_kafka.topics.log import Log, Record
from tasker_kafka.topics.names import TopicNames

from .crash_points import DeliveryCrashPoint
from .dead_letters import PersistentWriter
from .figures import Figures
from .journey import Journey
from .prepared import Subscriptions
from .retry_topics import GroupTopics
from .settings import DeliverySettings
from .solitude import Solitude
from .undertaker import Undertaker

__all__ = ["Equipment"]


class Equipment(msgspec.Struct, frozen=True, kw_only=True):
    """Of one member, while its topics stay the same."""

    log: Log
    names: TopicNames
    spec: SubscriberSpec
    subscriptions: Subscriptions
    settings: DeliverySettings
    codec: Codec
    writer: PersistentWriter
    undertaker: Undertaker
    topics: GroupTopics
    figures: Figures
    metrics: EventMetrics
    tasks: BackgroundTasks
    crash_points: CrashPoints[DeliveryCrashPoint]
    solitude: Solitude
    on_error: Callable[[BaseException], None]
    on_news: Callable[[], None]
    """Something is finished, or has come to rest."""

    def journey_of(self, record: Record, subscription: str, event_id: str | None = None) -> Journey:
        """The beginning of a journey. `subscription` empty: of a record that is no event."""
        return Journey(
            group=self.spec.group,
            subscription=subscription,
            topic=record.topic,
            partition=record.partition,
            offset=record.offset,
            timestamp=record.timestamp,
            event_id=event_id,
        )
