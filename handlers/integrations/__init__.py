"""Ready-made subscribers, each opt-in: alerting, chat, metrics, audit, webhooks.

Name one as `handler` in a subscriptions file, or use it in code: `Subscriber("alerts").add(SlackSubscriber(config))`.
They need nothing but httpx, which Tasker brings: a request is made by a pure function and sent by one `Sender`, so what
a service answers decides between a retry and a dead letter in one place.
"""

from .audit import AuditConfig, AuditSubscriber
from .facts import Facts, Fault, Outcome, facts_of
from .metrics import Measure, MetricsConfig, MetricsSubscriber
from .multi_service import MultiServiceConfig, MultiServiceSubscriber
from .options import AlertConfig, IntegrationConfig
from .pagerduty import PagerDutyConfig, PagerDutySubscriber
from .request import Request, json_request
from .sender import Sender
from .sentry import SentryConfig, SentrySubscriber
from .service import AlertSubscriber, ServiceSubscriber
from .slack import SlackConfig, SlackSubscriber
from .teams import TeamsConfig, TeamsSubscriber
from .threshold import Threshold, ThresholdCounter
from .webhook import WebhookConfig, WebhookSubscriber

__all__ = [
    "AlertConfig",
    "AlertSubscriber",
    "AuditConfig",
    "AuditSubscriber",
    "Facts",
    "Fault",
    "IntegrationConfig",
    "Measure",
    "MetricsConfig",
    "MetricsSubscriber",
    "MultiServiceConfig",
    "MultiServiceSubscriber",
    "Outcome",
    "PagerDutyConfig",
    "PagerDutySubscriber",
    "Request",
    "Sender",
    "SentryConfig",
    "SentrySubscriber",
    "ServiceSubscriber",
    "SlackConfig",
    "SlackSubscriber",
    "TeamsConfig",
    "TeamsSubscriber",
    "Threshold",
    "ThresholdCounter",
    "WebhookConfig",
    "WebhookSubscriber",
    "facts_of",
    "json_request",
]
