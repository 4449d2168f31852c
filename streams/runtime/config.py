"""What an orchestrator process needs to know, all of it resolved (no environment is read below this point)."""

from __future__ import annotations

from dataclasses import dataclass, field

from faust.auth import OAuthCredentials, SASLCredentials, SSLCredentials

from tasker_kafka.schemas.settings import Settings
from tasker_kafka.streams.lane.settings import LaneSettings
from tasker_kafka.topics.kafka import SecurityOptions, SecurityProtocol
from tasker_kafka.topics.kafka.configured import security_options

__all__ = ["Credentials", "OrchestratorConfig", "orchestrator_config"]

Credentials = SASLCredentials | SSLCredentials | OAuthCredentials


@dataclass(frozen=True, kw_only=True)
class OrchestratorConfig:
    """Resolved settings of one orchestrator process. Times are in the unit of the name."""

    bootstrap: str
    prefix: str = "tasker"
    instance: str | None = None
    """Static member id; None: made of host name and ordinal."""
    ordinal: int | None = None
    """Number among the orchestrators of this host; None: the first free one."""
    session_timeout_ms: int = 6_000
    heartbeat_ms: int = 500
    rebalance_timeout_ms: int = 30_000
    max_poll_bytes: int = 4 * 1024 * 1024
    """Most bytes fetched of one partition at once."""
    shutdown_seconds: float = 5.0
    """Longest time from SIGTERM to the end."""
    credentials: Credentials | None = None
    lanes: LaneSettings = field(default_factory=LaneSettings)


def orchestrator_config(
    settings: Settings, *, bootstrap: str | None = None, accept_loss: bool = False
) -> OrchestratorConfig:
    """The orchestrator that the settings describe.

    bootstrap: another address than the settings'. accept_loss: the operator's override of what is asserted when a
    partition is taken (`tasker orchestrator --accept-loss`).
    """
    engine = settings.engine
    return OrchestratorConfig(
        bootstrap=bootstrap or settings.broker.address(),
        prefix=settings.prefix,
        instance=engine.instance,
        ordinal=engine.ordinal,
        session_timeout_ms=engine.session_timeout_ms,
        heartbeat_ms=engine.heartbeat_ms,
        rebalance_timeout_ms=engine.rebalance_timeout_ms,
        max_poll_bytes=engine.max_poll_bytes,
        shutdown_seconds=engine.shutdown_seconds,
        credentials=faust_credentials(security_options(settings)),
        lanes=LaneSettings(
            tick_interval_ms=engine.tick_interval_ms,
            checkpoint_interval_ms=engine.checkpoint_interval_ms,
            checkpoint_timeout_ms=engine.checkpoint_timeout_ms,
            acquire_timeout_ms=engine.acquire_timeout_ms,
            decoded_limit=engine.decoded_limit,
            forget_interval_ms=engine.forget_interval_ms,
            reconcile_interval_ms=engine.reconcile_interval_ms,
            accept_loss=accept_loss,
        ),
    )


def faust_credentials(security: SecurityOptions) -> Credentials | None:
    """The same identity in Faust's words; None for an open plaintext listener."""
    if security.protocol is SecurityProtocol.PLAINTEXT:
        return None
    driver = security.arguments()
    context = driver["ssl_context"]
    if not security.protocol.is_authenticated:
        return SSLCredentials(context=context)
    if security.token_source is not None:
        return OAuthCredentials(oauth_cb=driver["sasl_oauth_token_provider"], ssl_context=context)
    return SASLCredentials(
        username=security.username,
        password=security.password,
        mechanism=driver["sasl_mechanism"],
        ssl_context=context,
    )
