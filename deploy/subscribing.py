"""Assembles the subscribers' role: groups in this process, or each in a supervised process of its own.

It needs no Faust and nothing of the orchestrator; a topic of CloudEvents is enough.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from tasker_kafka.schemas.errors import TaskerError
from tasker_kafka.schemas.settings import Settings
from tasker_kafka.topics.crash_points import NO_CRASH_POINTS, CrashPoints
from tasker_kafka.topics.garbage import settle_garbage
from tasker_kafka.topics.log import Log
from tasker_kafka.topics.names import TopicNames
from tasker_kafka.topics.process import on_stop_signal, run_on_uvloop

from .children import Child, log_as_json
from .supervising import Supervisor, pass_on

if TYPE_CHECKING:
    from collections.abc import Callable

    from tasker_kafka.handlers.delivery.crash_points import DeliveryCrashPoint
    from tasker_kafka.handlers.subscribing import SubscriberSpec

__all__ = [
    "ServedRow",
    "Wanted",
    "beside_worker",
    "load_wanted",
    "rows_of",
    "run_group_processes",
    "run_subscriber_role",
    "subscriber_command",
    "unheard_of_files",
]

_logger = logging.getLogger("tasker.subscriber")


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """Which subscribers are meant."""

    modules: tuple[str, ...] = ()
    files: tuple[Path, ...] = ()
    """Subscriptions files."""
    groups: tuple[str, ...] = ()
    """Of what modules and files hold; empty: all."""


def load_wanted(wanted: Wanted) -> tuple[SubscriberSpec, ...]:
    """The groups, from modules that may lie in the folder the command was started in. ConfigurationError else."""
    from tasker_kafka.handlers.modules import look_here
    from tasker_kafka.handlers.subscribing.files import load_subscription_files
    from tasker_kafka.handlers.subscribing.loading import load_specs, only_groups

    look_here()
    return only_groups(load_specs(wanted.modules, load_subscription_files(wanted.files)), wanted.groups)


class ServedRow(msgspec.Struct, frozen=True, kw_only=True):
    """One subscription as `tasker subscriber check` shows it."""

    group: str
    subscription: str
    events: tuple[str, ...]
    delivery: str
    """`as published`, unless the subscription says otherwise."""
    payload: str
    """The model's name, or `JSON`."""
    handler: str
    """`async`, `thread` or `process`: where it runs."""


def rows_of(specs: Sequence[SubscriberSpec]) -> list[ServedRow]:
    """Every subscription of these groups."""
    return [
        ServedRow(
            group=spec.group,
            subscription=each.name,
            events=each.patterns,
            delivery="as published" if each.delivery is None else each.delivery.value,
            payload="JSON" if each.model is None else getattr(each.model, "__name__", str(each.model)),
            handler="process" if each.isolation == "process" else "async" if each.is_async else "thread",
        )
        for spec in specs
        for each in spec.subscriptions
    ]


def run_subscriber_role(
    connect: Callable[[], Log],
    settings: Settings,
    wanted: Wanted,
    *,
    crash_points: CrashPoints[DeliveryCrashPoint] = NO_CRASH_POINTS,
) -> None:
    """Serve the groups in this process until it is told to stop. What ends a group that is alone is raised.

    crash_points: told of every one that is passed (fault injection)
    """
    run_on_uvloop(_serve(connect, settings, load_wanted(wanted), crash_points))


async def _serve(
    connect: Callable[[], Log],
    settings: Settings,
    specs: Sequence[SubscriberSpec],
    crash_points: CrashPoints[DeliveryCrashPoint],
) -> None:
    from tasker_kafka.handlers.subscribing.serving import Serving, delivery_settings, member_maker

    async with contextlib.AsyncExitStack() as opened:
        log = connect()
        opened.push_async_callback(log.close)
        await log.start()
        names = TopicNames(settings.prefix)
        for line in await _unheard(log, names, specs):
            _logger.warning("%s", line)
        make = member_maker(log, names, delivery_settings(settings), crash_points=crash_points)
        serving = Serving(specs, make)
        on_stop_signal(serving.stop)
        for spec in specs:
            handlers = ", ".join(each.name for each in spec.subscriptions)
            _logger.info("group %s serves %s", spec.group, handlers)
        settle_garbage()
        await serving.run()


async def _unheard(log: Log, names: TopicNames, specs: Sequence[SubscriberSpec]) -> list[str]:
    """Which subscriptions fit nothing that the published templates declare; nothing where there are none to read."""
    from tasker_kafka.handlers.subscribing.unheard import unheard

    from .provisioning import published_plans

    try:
        if names.templates not in await log.admin().describe([names.templates]):
            return []
        return unheard(specs, await published_plans(log, names))
    except TaskerError as error:
        _logger.debug("templates cannot be read: %s", error.message)  # a subscriber does not need them
        return []


def unheard_of_files(specs: Sequence[SubscriberSpec], paths: Sequence[Path]) -> list[str]:
    """Which subscriptions fit nothing that these templates declare. InvalidTemplate when one of them is faulty."""
    from tasker_kafka.handlers.subscribing.unheard import unheard
    from tasker_kafka.schemas.settings import load_settings

    from .template_files import load_plans

    return unheard(specs, [plan for plans in load_plans(paths, load_settings()).values() for plan in plans])


def run_group_processes(wanted: Wanted, *, log_level: str) -> int:
    """Serve each group in a supervised process of its own until told to stop: the exit code.

    So a handler that exits, crashes or takes all memory ends its own group's process alone, which is started again.
    """
    children = [
        _child(
            f"group {spec.group}",
            Wanted(modules=wanted.modules, files=wanted.files, groups=(spec.group,)),
            log_level,
        )
        for spec in load_wanted(wanted)
    ]
    return run_on_uvloop(_supervise(children))


def beside_worker(wanted: Wanted, *, log_level: str) -> Supervisor:
    """Serves the groups in one supervised process beside another role. ConfigurationError when there is none."""
    load_wanted(wanted)
    return Supervisor([_child("subscribers", wanted, log_level)])


async def _supervise(children: Sequence[Child]) -> int:
    supervisor = Supervisor(children)
    on_stop_signal(supervisor.stop)
    return await supervisor.run()


def _child(name: str, wanted: Wanted, log_level: str) -> Child:
    """A child whose lines go to our standard error, written as ours are."""
    as_json = log_as_json()
    return Child(
        name,
        subscriber_command(wanted, log_level=log_level),
        os.environ,
        pass_on,
        log_as_json=not sys.stderr.isatty() if as_json is None else as_json,
    )


def subscriber_command(wanted: Wanted, *, log_level: str) -> list[str]:
    """The command line that serves these groups."""
    command = [sys.executable, "-m", "tasker_kafka.deploy.cli", "subscriber"]
    command += [part for module in wanted.modules for part in ("--module", module)]
    command += [part for file in wanted.files for part in ("--config", str(file))]
    command += [part for group in wanted.groups for part in ("--group", group)]
    return [*command, "--log-level", log_level]
