"""`tasker doctor`: looks at a system from outside and says of everything that is wrong what to do about it.

Each check stands for itself: one that cannot be made says so, and the others go on. Nothing is changed.
"""

from __future__ import annotations

import platform
import sys
from collections.abc import Awaitable, Callable, Iterable, Iterator
from importlib.metadata import PackageNotFoundError, version
from typing import Literal

import msgspec

from tasker_kafka import __version__
from tasker_kafka.schemas.codec import codec
from tasker_kafka.schemas.errors import TaskerError
from tasker_kafka.schemas.identity import format_id
from tasker_kafka.schemas.plan import Plan
from tasker_kafka.schemas.settings import Settings
from tasker_kafka.schemas.state import TaskState
from tasker_kafka.schemas.words import StepStatus
from tasker_kafka.topics.log import Log
from tasker_kafka.topics.names import TopicNames

from .provisioning import find_drifts, partitions_for, published_plans
from .reading.scan import newest_by_key, partitions_of
from .reading.subscriber_groups import list_groups
from .reading.waiting import describe_queue, duration_text
from .reading.workers import Workforce, list_workers
from .wiring import configured_partitions, topic_plan

__all__ = ["Check", "Diagnosis", "Verdict", "examine"]

Verdict = Literal["ok", "wrong", "unknown"]
PACKAGES = ("aiokafka", "faust-streaming", "fastavro", "msgspec", "pydantic")
WAITS_LONG_MS = 30_000
"""A step that has been enqueued for longer is told of."""
MOST_TOLD = 20


class Check(msgspec.Struct, frozen=True):
    """What one look found. `way_out` says what to do where it is wrong."""

    name: str
    verdict: Verdict
    message: str
    way_out: str | None = None


class Diagnosis(msgspec.Struct, frozen=True):
    """All findings, in the order in which they were made."""

    checks: tuple[Check, ...]

    @property
    def is_well(self) -> bool:
        """Whether nothing is wrong, as far as could be seen."""
        return all(check.verdict == "ok" for check in self.checks)


async def examine(settings: Settings, bootstrap: str, connect: Callable[[], Log]) -> Diagnosis:
    """Look at everything. `connect` makes a log that is not yet started."""
    checks = [versions(), Check("settings", "ok", f"valid, environment {settings.environment}")]
    log = connect()
    try:
        try:
            await log.start()
        except TaskerError as error:
            checks.append(Check("broker", "wrong", error.message, error.next_step))
            return Diagnosis(tuple(checks))
        checks.append(Check("broker", "ok", f"{bootstrap} answers"))
        names = TopicNames(settings.prefix)
        for name, look in {
            "topics": _topics,
            "templates": _templates,
            "orchestrators": _orchestrators,
            "workers": _workers,
            "waiting steps": _waiting,
            "subscribers": _subscribers,
        }.items():
            checks += await _made(name, look, log, names, settings)
    finally:
        await log.close()
    return Diagnosis(tuple(checks))


def versions() -> Check:
    """What runs here."""
    found = [f"tasker {__version__}", f"Python {platform.python_version()} on {sys.platform}"]
    for package in PACKAGES:
        try:
            found.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            return Check(
                "versions", "wrong", f"the package {package} is missing", "install tasker-kafka again"
            )
    return Check("versions", "ok", ", ".join(found))


Look = Callable[[Log, TopicNames, Settings], Awaitable[list[Check]]]


async def _made(name: str, look: Look, log: Log, names: TopicNames, settings: Settings) -> list[Check]:
    """A check's findings; that it could not be made, where it could not."""
    try:
        return await look(log, names, settings)
    except TaskerError as error:
        return [Check(name, "unknown", error.message, error.next_step)]


async def _topics(log: Log, names: TopicNames, settings: Settings) -> list[Check]:
    count = await partitions_for(log, names, configured_partitions(settings))
    drifts = await find_drifts(log, names, topic_plan(settings, count))
    if not drifts:
        return [Check("topics", "ok", f"as declared, {count} partitions")]
    missing = [drift.topic for drift in drifts if drift.setting == "exists"]
    found = []
    if missing:
        found.append(Check("topics", "wrong", f"missing: {', '.join(missing)}", "run `tasker topics create`"))
    return found + [
        Check(
            "topics",
            "wrong",
            f"{drift.topic}: {drift.setting} is {drift.found}, declared {drift.expected}",
            drift.way_out,
        )
        for drift in drifts
        if drift.setting != "exists"
    ]


async def _templates(log: Log, names: TopicNames, settings: Settings) -> list[Check]:
    plans = await published_plans(log, names)
    if not plans:
        return [Check("templates", "wrong", "none is published", "`tasker template publish PATH`")]
    return [Check("templates", "ok", f"{len(plans)} published")]


async def _orchestrators(log: Log, names: TopicNames, settings: Settings) -> list[Check]:
    """Whether requests and commands are read: by the positions that the engine's checkpoints commit."""
    found: list[Check] = []
    committed = await log.admin().group_offsets(names.engine_group)
    for topic in (names.task_requests, names.commands):
        behind = 0
        for partition in await partitions_of(log, topic):
            end = await log.end_offset(partition)
            done = committed.get(partition)
            start = await log.begin_offset(partition) if done is None else done.offset
            behind += max(0, end - start)
        if behind:
            found.append(
                Check(
                    "orchestrators",
                    "wrong",
                    f"{behind} records of {topic} are not done",
                    "if the number does not fall: start `tasker orchestrator`, or read its log",
                )
            )
    return found or [Check("orchestrators", "ok", "every request and command is done")]


async def _workers(log: Log, names: TopicNames, settings: Settings) -> list[Check]:
    """Whether somebody serves every queue, and knows every handler, of the newest templates."""
    workforce = Workforce(await list_workers(log, names))
    found = [
        Check(
            "workers",
            "wrong",
            f"{worker.worker_id} has said nothing for {duration_text(log.now_ms() - worker.seen_at)}",
            "it was killed, or has lost the broker; its queues are given to others",
        )
        for worker in workforce.workers
        if not worker.is_alive
    ]
    gaps: dict[str, list[str]] = {}
    for plan in newest(await published_plans(log, names)):
        for step in plan.steps:
            if not workforce.knowing(step.queue, step.handler):
                _, why = describe_queue(step.queue, step.handler, workforce)
                gaps.setdefault(why, []).append(f"{plan.namespace}/{plan.name}")
    found += [
        Check(
            "workers", "wrong", f"{why.partition(':')[0]}, which {_few(whom)} needs", why.partition(": ")[2]
        )
        for why, whom in gaps.items()
    ]
    alive = sum(worker.is_alive for worker in workforce.workers)
    return found or [Check("workers", "ok", f"{alive} serve every queue of the templates")]


async def _waiting(log: Log, names: TopicNames, settings: Settings) -> list[Check]:
    """Steps that have been enqueued for long, oldest first."""
    workforce = Workforce(await list_workers(log, names))
    plans = {plan.hash: plan for plan in await published_plans(log, names)}
    now = log.now_ms()
    held = await newest_by_key(log, await partitions_of(log, names.task_state))
    waits = sorted(
        wait
        for record in held.values()
        if record.value is not None and codec.kind_of(record.value) is TaskState
        for wait in _long_waits(record.value, plans, now)
    )
    found = [
        Check(
            "waiting steps",
            "wrong",
            f"task {task} step {step}: enqueued {duration_text(now - since)}: "
            f"{describe_queue(queue, handler, workforce)[1]}",
            f"`tasker task show {task}`",
        )
        for since, task, step, queue, handler in waits[:MOST_TOLD]
    ]
    if len(waits) > MOST_TOLD:
        found.append(Check("waiting steps", "wrong", f"… and {len(waits) - MOST_TOLD} more steps", None))
    return found or [Check("waiting steps", "ok", "none has been enqueued for long")]


async def _subscribers(log: Log, names: TopicNames, settings: Settings) -> list[Check]:
    """Whether each announced group is served, has lost nothing, and has no dead letters that wait for somebody."""
    groups = await list_groups(log, names)
    found: list[Check] = []
    for group in groups:
        about = f"group {group.group}"
        if group.is_announced and not group.members:
            waits = f"; {group.lag} records wait" if group.lag else ""
            way_out = (
                f"`tasker subscriber -m MODULE`; gone for good: `tasker subscriber forget {group.group}`"
            )
            found.append(Check("subscribers", "wrong", f"nobody serves {about}{waits}", way_out))
        if group.lost:
            told = f"{about}: {group.lost} records outlived their retention unread"
            found.append(
                Check("subscribers", "wrong", told, "keep events for longer than a group may be away")
            )
        if group.dead_letters and group.oldest_dead_at is not None:
            age = duration_text(log.now_ms() - group.oldest_dead_at)
            told = f"{about}: {group.dead_letters} open dead letters, the oldest {age} old"
            way_out = f"`tasker dlq list --group {group.group}`; kept for {_dlq_days(settings)}"
            found.append(Check("subscribers", "wrong", told, way_out))
    served = sum(bool(group.members) for group in groups)
    return found or [
        Check("subscribers", "ok", f"{served} groups are served" if groups else "there are none")
    ]


def _dlq_days(settings: Settings) -> str:
    days = settings.events.durable.dlq_retention_days
    return f"{days} days" if days > 1 else "a day"


def _long_waits(value: bytes, plans: dict[bytes, Plan], now: int) -> Iterator[tuple[int, str, str, str, str]]:
    """(since, task, step, queue, handler) of each step that has been enqueued for long."""
    if not codec.decode_head(value).enqueued:
        return
    state = codec.decode_state(value)
    if not isinstance(state, TaskState) or (plan := plans.get(state.plan_hash)) is None:
        return
    for step, planned in zip(state.steps, plan.steps, strict=True):
        since = step.dispatched_at
        if step.state is StepStatus.ENQUEUED and since is not None and now - since > WAITS_LONG_MS:
            yield since, format_id(state.task_id), step.name, planned.queue, planned.handler


def newest(plans: Iterable[Plan]) -> list[Plan]:
    """The highest version of each template; `plans` by version, lowest first."""
    return list({(plan.namespace, plan.name): plan for plan in plans}.values())


def _few(names: Iterable[str]) -> str:
    found = sorted(set(names))
    return ", ".join(found[:3]) + (f" and {len(found) - 3} more" if len(found) > 3 else "")
