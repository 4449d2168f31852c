"""Assembles the roles that run for long: orchestrator and worker.

A role creates no topics: it verifies them and refuses to start on drift, saying what differs. Everything it needs is
passed in, resolved; nothing below reads the environment.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import logging
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec.structs import replace as replaced

from tasker_kafka.schemas.settings import Settings
from tasker_kafka.topics.crash_points import NO_CRASH_POINTS, CrashPoints
from tasker_kafka.topics.log import Log
from tasker_kafka.topics.names import TopicNames
from tasker_kafka.topics.plans import PlanStore
from tasker_kafka.topics.process import on_stop_signal, run_on_uvloop
from tasker_kafka.topics.provision import publish_schemas, refuse

from .provisioning import find_drifts, find_worker_drifts, partitions_for
from .wiring import configured_partitions, topic_plan, worker_settings

if TYPE_CHECKING:
    from tasker_kafka.handlers.worker import StepWorker, WorkerSettings
    from tasker_kafka.handlers.worker.crash_points import WorkerCrashPoint
    from tasker_kafka.streams.lane import CrashPoint

    from .supervising import Supervisor

__all__ = ["Connect", "prepare", "run_orchestrator_role", "run_worker_role"]

_logger = logging.getLogger("tasker.roles")
Connect = Callable[[], Log]
"""Makes a log that is not yet started; called on the loop that uses it."""


async def prepare(connect: Connect, settings: Settings, *, template_paths: Sequence[Path] = ()) -> None:
    """What a role does before it starts: publish its templates and this release's schemas, verify the topics.

    TopicsDrifted names every difference between the topics and what the settings say of them.
    """
    names = TopicNames(settings.prefix)
    log = connect()
    try:
        await log.start()
        count = await partitions_for(log, names, configured_partitions(settings))
        if template_paths:
            await _publish(log, names, settings, template_paths)
        refuse(await find_drifts(log, names, topic_plan(settings, count)))
        await publish_schemas(log, names)
    finally:
        await log.close()


async def _publish(log: Log, names: TopicNames, settings: Settings, paths: Sequence[Path]) -> None:
    from .template_files import publish_files

    await publish_files(log, names, paths, publisher="orchestrator", settings=settings)


def run_orchestrator_role(
    connect: Connect,
    settings: Settings,
    bootstrap: str,
    *,
    ordinal: int | None = None,
    accept_loss: bool = False,
    crash_points: CrashPoints[CrashPoint] = NO_CRASH_POINTS,
) -> int:
    """Run an orchestrator until it is told to stop: its exit code. It publishes the templates of the settings first.

    ordinal: number among the orchestrators of this host; default the settings'
    crash_points: told of every one that is passed (fault injection)
    """
    from dataclasses import replace

    paths = [Path(each) for each in settings.templates.paths]
    # Loading the engine takes longer than anything else of a start: meanwhile the broker is asked what must be known.
    loading = threading.Thread(target=_load_engine, name="load-engine")

    def connect_and_load() -> Log:
        # Only now: two threads that load the same driver at once can each meet a half of it (its modules are a ring).
        log = connect()
        loading.start()
        return log

    try:
        asyncio.run(prepare(connect_and_load, settings, template_paths=paths))
    finally:
        if loading.ident is not None:
            loading.join()

    from tasker_kafka.streams.runtime.config import orchestrator_config
    from tasker_kafka.streams.runtime.orchestrator import run_orchestrator

    config = orchestrator_config(settings, bootstrap=bootstrap, accept_loss=accept_loss)
    if ordinal is not None:
        config = replace(config, ordinal=ordinal)
    config = replace(config, lanes=replace(config.lanes, crash_points=crash_points))
    _logger.info("orchestrator of %s at %s", settings.prefix, bootstrap)
    return run_orchestrator(config, connect)


def _load_engine() -> None:
    importlib.import_module("tasker_kafka.streams.runtime.orchestrator")


def run_worker_role(
    connect: Connect,
    settings: Settings,
    modules: Sequence[str],
    *,
    queues: Sequence[str] = (),
    concurrency: int | None = None,
    subscriber_modules: Sequence[str] = (),
    subscriber_files: Sequence[Path] = (),
    log_level: str = "INFO",
    crash_points: CrashPoints[WorkerCrashPoint] = NO_CRASH_POINTS,
) -> None:
    """Run a step worker of these modules' handlers until it is told to stop.

    queues: default those of every published step whose handler is here
    concurrency: handlers that run at once; default the settings'
    subscriber_modules: whose subscribers run beside it, in a supervised process: they can never end the worker
    subscriber_files: their subscriptions
    log_level: of that process
    crash_points: told of every one that is passed (fault injection)
    """
    wanted = worker_settings(settings)
    if concurrency is not None:
        wanted = replaced(wanted, concurrency=concurrency)
    beside = _subscribers(subscriber_modules, subscriber_files, log_level)
    run_on_uvloop(
        _work(
            connect,
            settings,
            modules,
            queues=queues,
            wanted=wanted,
            beside=beside,
            crash_points=crash_points,
        )
    )


def _subscribers(modules: Sequence[str], files: Sequence[Path], log_level: str) -> Supervisor | None:
    """What runs beside a worker. ConfigurationError when one of the modules has no subscriber."""
    if not modules:
        return None
    from .subscribing import Wanted, beside_worker

    return beside_worker(Wanted(modules=tuple(modules), files=tuple(files)), log_level=log_level)


async def _work(
    connect: Connect,
    settings: Settings,
    modules: Sequence[str],
    *,
    queues: Sequence[str],
    wanted: WorkerSettings,
    beside: Supervisor | None,
    crash_points: CrashPoints[WorkerCrashPoint],
) -> None:
    from tasker_kafka.handlers.worker import StepWorker
    from tasker_kafka.topics.garbage import settle_garbage

    from .handler_checks import load_registry, queues_served

    registry = load_registry(modules)
    names = TopicNames(settings.prefix)
    async with contextlib.AsyncExitStack() as opened:
        log = connect()
        opened.push_async_callback(log.close)
        await log.start()
        plans = PlanStore(log, names)
        await plans.start()
        opened.push_async_callback(plans.stop)
        served = tuple(queues) or queues_served(plans.all(), registry)
        wanted_topics = topic_plan(
            settings, await partitions_for(log, names, configured_partitions(settings))
        )
        refuse(await find_worker_drifts(log, names, wanted_topics, served))
        worker = StepWorker(log, names, plans, served, registry, settings=wanted, crash_points=crash_points)
        on_stop_signal(lambda: _stop(worker, beside))
        _logger.info(
            "worker %s serves %s with %s", worker.worker_id, ", ".join(served), ", ".join(registry.names)
        )
        if beside is not None:
            running = asyncio.create_task(beside.run(), name="subscribers")
            opened.push_async_callback(_end_with, beside, running)
        settle_garbage()
        await worker.run()


async def _stop(worker: StepWorker, beside: Supervisor | None) -> None:
    """Both at once: each has its own work to finish, and whoever told us to stop does not wait for ever."""
    await worker.stop()
    if beside is not None:
        await beside.stop()


async def _end_with(beside: Supervisor, running: asyncio.Task[int]) -> None:
    await beside.stop()
    await running
