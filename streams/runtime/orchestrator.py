"""Runs one orchestrator process: a Faust worker on uvloop, from start to exit code."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any, Final

import uvloop
from faust import Worker

from tasker_kafka.schemas.errors import BrokerUnavailable
from tasker_kafka.schemas.exits import ExitCode, exit_code
from tasker_kafka.topics.log import Log

from .app import OrchestratorApp, create_app
from .config import OrchestratorConfig
from .exits import fatal
from .startup import Prepare, nothing

__all__ = ["run_orchestrator"]

_LOGGER: Final = logging.getLogger("tasker.orchestrator")
QUIET_LOGGERS = ("faust", "mode", "aiokafka")
"""Their lines below WARNING say how Faust works, not what Tasker does."""


class OrchestratorWorker(Worker):
    """Faust's worker without banner and spinner, and with our logging left as it is."""

    def __init__(self, app: OrchestratorApp, *, loop: asyncio.AbstractEventLoop, **kwargs: Any) -> None:
        super().__init__(app, loop=loop, quiet=True, override_logging=False, redirect_stdouts=False, **kwargs)
        self.spinner = None
        self._patience_seconds = app.config.shutdown_seconds
        self._deadline: asyncio.TimerHandle | None = None

    async def stop(self) -> None:
        """Stop in order if that is possible in time; else at once, which loses nothing either."""
        if self._deadline is None:
            self._deadline = self.loop.call_later(self._patience_seconds, self._stop_at_once)
        await super().stop()

    def _stop_at_once(self) -> None:
        fatal(
            BrokerUnavailable(
                f"not stopped in order within {self._patience_seconds:g} s (engine.shutdown_seconds): most likely the "
                "broker does not answer",
                next_step="nothing is lost: the next owner replays what was not checkpointed",
            )
        )

    def _enter_debugger(self) -> None:
        """Faust answers SIGUSR2 with a debugger, which would hold every partition; who sent it is told instead."""
        _LOGGER.warning("SIGUSR2 does nothing here; SIGUSR1 prints what every thread is doing")

    def _shutdown_loop(self) -> None:
        """End at once: Faust waits two seconds for stray tasks, but everything of ours has stopped by now."""
        for task in asyncio.all_tasks(self.loop):
            task.cancel()
        if self.crash_reason is not None:
            raise self.crash_reason


def run_orchestrator(
    config: OrchestratorConfig, connect: Callable[[], Log], prepare: Prepare = nothing
) -> ExitCode:
    """Run until SIGTERM or SIGINT; a fatal error ends the process itself (see `exits`).

    connect: makes the log, on the loop's thread. prepare: done when it is started, before the group is joined.
    ConfigurationError when another process holds the ordinal.
    """
    for name in QUIET_LOGGERS:
        logging.getLogger(name).setLevel(max(logging.WARNING, logging.getLogger().level))
    loop = uvloop.new_event_loop()
    asyncio.set_event_loop(loop)
    app = create_app(config, connect(), prepare)
    worker = OrchestratorWorker(app, loop=loop)
    try:
        worker.execute_from_commandline()
    except SystemExit as stop:
        return ExitCode.OK if stop.code in (None, 0) else ExitCode.INTERNAL
    except Exception as error:
        _LOGGER.critical("stopped: %s", error)
        return exit_code(error)
