"""Settings of the processes: orchestrator, worker, and what they say about themselves."""

from __future__ import annotations

from itertools import pairwise
from typing import Self

from pydantic import model_validator

from tasker_kafka.schemas.errors import ConfigurationError
from tasker_kafka.schemas.redaction import DEFAULT_FILTERS, DEFAULT_MASK
from tasker_kafka.schemas.redaction_names import NameFilter

from .section import Section, refuse, setting

__all__ = [
    "EngineSettings",
    "RedactionSettings",
    "SubscriberSettings",
    "TelemetrySettings",
    "TemplateSettings",
    "WorkerSettings",
]

_NO_TIME = "refused: it would never be in time"
_BUCKETS = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 30.0)


class _MemberSettings(Section):
    """A process that is a member of a consumer group."""

    session_timeout_ms: int
    heartbeat_ms: int

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.heartbeat_ms * 3 > self.session_timeout_ms:
            raise refuse("bad_session", "heartbeat_ms must be at most a third of session_timeout_ms")
        return self


class EngineSettings(_MemberSettings):
    """The orchestrator: intake and engine lanes, and its membership of the group."""

    instance: str | None = setting(
        None,
        "Name of this orchestrator among the static members; default host name and ordinal.",
        min_length=1,
    )
    ordinal: int | None = setting(
        None,
        "Number among the orchestrators of this host; default the first free one.",
        zero="the first",
        ge=0,
    )
    session_timeout_ms: int = setting(
        6_000,
        "A silent orchestrator loses its partitions after this; the broker's group.min.session.timeout.ms bounds it.",
        zero=_NO_TIME,
        ge=1_000,
    )
    heartbeat_ms: int = setting(500, "How often it tells the group that it is there.", zero=_NO_TIME, ge=50)
    rebalance_timeout_ms: int = setting(
        30_000, "How long a rebalance waits for its members.", zero=_NO_TIME, ge=1_000
    )
    checkpoint_interval_ms: int = setting(
        300,
        "How often changed states are saved. Longer: more to replay after a crash; shorter: more transactions.",
        zero="refused: at least 250",
        ge=250,
        le=500,
    )
    checkpoint_timeout_ms: int = setting(
        10_000, "A checkpoint that takes longer is the loss of the partition.", zero=_NO_TIME, ge=1_000
    )
    acquire_timeout_ms: int = setting(
        60_000, "How long taking a partition may go without progress.", zero=_NO_TIME, ge=1_000
    )
    tick_interval_ms: int = setting(50, "Resolution of timers.", zero="refused", ge=1, le=10_000)
    decoded_limit: int = setting(
        50_000, "Decoded task states kept per partition.", zero="a task is decoded for every command", ge=0
    )
    forget_interval_ms: int = setting(
        60_000, "Least time between two removals of finished tasks.", zero="refused", ge=1_000
    )
    reconcile_interval_ms: int = setting(
        60_000, "How often a partition is looked over for what should have moved.", zero="never", ge=0
    )
    max_poll_bytes: int = setting(
        4 * 1024 * 1024, "Most bytes of one partition fetched at once.", zero="refused", ge=1024 * 1024
    )
    shutdown_seconds: float = setting(5.0, "Longest time from SIGTERM to the end.", zero="refused", gt=0)


class WorkerSettings(_MemberSettings):
    """A step worker."""

    concurrency: int = setting(100, "Handlers that run at once, over all queues.", zero="refused", ge=1)
    queued: int = setting(
        400, "Dispatches of a queue that may wait in memory; above it fetching pauses.", zero="refused", ge=1
    )
    processes: int = setting(
        2, "Child processes for handlers with isolation: process that run at once.", zero="refused", ge=1
    )
    lookahead: int = setting(
        400,
        "Dispatches of a queue that may be started ahead of a commit; after a kill they may run again.",
        zero="refused",
        ge=1,
    )
    start_report_seconds: float = setting(
        2.0,
        "A handler that runs longer is reported to the engine, which watches it from then on.",
        zero="refused",
        gt=0,
    )
    heartbeat_seconds: float = setting(
        10.0, "Most time between two heartbeats of a reported handler.", zero="refused", gt=0
    )
    cancel_grace_seconds: float = setting(
        5.0, "How long an async handler may go on after it was cancelled.", zero="refused", gt=0
    )
    shutdown_seconds: float = setting(
        25.0, "How long a stopping worker waits for handlers before it gives them back.", zero="refused", gt=0
    )
    revoke_seconds: float = setting(
        2.0,
        "How long a rebalance waits for handlers that are neither finished nor reported.",
        zero="refused",
        gt=0,
    )
    commit_seconds: float = setting(
        0.25, "Most time until finished dispatches are committed.", zero="refused", gt=0
    )
    cache_bytes: int = setting(
        64 * 1024 * 1024,
        "Answers kept to be sent again when their dispatch is delivered again.",
        zero="none: a redelivered dispatch runs again",
        ge=0,
    )
    announce_seconds: float = setting(
        10.0, "How often the worker says that it is there.", zero="refused", gt=0
    )
    session_timeout_ms: int = setting(
        10_000, "A worker that is silent for this long has lost its partitions.", zero=_NO_TIME, ge=1_000
    )
    heartbeat_ms: int = setting(
        1_000, "How often it tells its groups that it is there.", zero=_NO_TIME, ge=50
    )
    instance_id: str | None = setting(
        None, "Makes the worker a static member of its groups: back at once after a restart.", min_length=1
    )


class SubscriberSettings(_MemberSettings):
    """A process that serves subscribers of domain events."""

    session_timeout_ms: int = setting(
        10_000, "A member that is silent for longer has lost its partitions.", zero="refused", ge=1_000
    )
    heartbeat_ms: int = setting(1_000, "Time between signs of life to the broker.", zero="refused", ge=100)
    processes: int = setting(
        2, "Child processes for subscriptions with isolation: process that run at once.", zero="refused", ge=1
    )
    queued_bytes: int = setting(
        64 * 1024 * 1024,
        "Most bytes of events that wait in memory; above it fetching pauses.",
        zero="refused",
        ge=1,
    )
    parked: int = setting(
        10_000,
        "Events of a partition that may lie parked; above it its topics are paused.",
        zero="refused",
        ge=1,
    )
    commit_seconds: float = setting(
        0.25, "Most time until handled events are committed.", zero="refused", gt=0
    )
    revoke_seconds: float = setting(
        5.0, "How long a rebalance waits for handlers before it cancels them.", zero="refused", gt=0
    )
    shutdown_seconds: float = setting(
        25.0, "How long a stopping process waits for its handlers.", zero="refused", gt=0
    )
    discover_seconds: float = setting(30.0, "How often new topics are looked for.", zero="refused", gt=0)
    create_topics: bool = setting(
        True, "Whether missing retry and dead letter topics are created; else they are asked for by name."
    )


class TemplateSettings(Section):
    """Templates that the orchestrator publishes at start."""

    paths: tuple[str, ...] = setting((), "Files and folders of templates (*.yaml, *.yml).")
    variables: tuple[str, ...] = setting(
        (),
        "Environment variables that templates may ask for as ${NAME}. No secrets: plans are public.",
    )


class TelemetrySettings(Section):
    """Traces and metrics by OpenTelemetry."""

    enabled: bool = setting(False, "Whether anything is exported (variable TELEMETRY_ENABLED).")
    otlp_endpoint: str | None = setting(
        None, "Address of the collector (variable OTEL_EXPORTER_OTLP_ENDPOINT)."
    )
    service_name: str = setting("tasker", "Name of the service (variable OTEL_SERVICE_NAME).", min_length=1)
    service_version: str | None = setting(
        None, "Version of the service (variable OTEL_SERVICE_VERSION); default the release's."
    )
    deployment_environment: str | None = setting(
        None, "Environment in traces and events (variable DEPLOYMENT_ENVIRONMENT); default TASKER_ENV."
    )
    sampling_ratio: float = setting(1.0, "Share of tasks that are traced.", zero="none", ge=0, le=1)
    histogram_buckets: tuple[float, ...] = setting(
        _BUCKETS, "Upper bounds of the duration histograms, in seconds."
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        check_buckets(self.histogram_buckets)
        return self


def check_buckets(buckets: tuple[float, ...]) -> None:
    """Bounds of a histogram rise and are positive."""
    if not buckets or buckets[0] <= 0 or any(low >= high for low, high in pairwise(buckets)):
        raise refuse("bad_buckets", "histogram_buckets must be positive and rise, as [0.01, 0.1, 1.0]")


class RedactionSettings(Section):
    """What is hidden wherever people and tools look."""

    filter_parameters: tuple[str, ...] = setting(
        DEFAULT_FILTERS,
        "Names of secrets: words (email, api_key), stems (passw*), paths (customer.card), /expressions/.",
    )
    filter_mask: str = setting(DEFAULT_MASK, "What stands in place of a secret.", min_length=1)

    @model_validator(mode="after")
    def _check(self) -> Self:
        try:
            NameFilter(self.filter_parameters)
        except ConfigurationError as error:
            raise refuse("bad_filter", error.message) from None
        return self
