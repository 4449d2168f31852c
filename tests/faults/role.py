"""A role as users run it, with a fault injector inside: `python -m tests.faults.role orchestrator --ordinal 0`.

It does what the command line does, in the same order, and passes the injector to where the parts take it.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
from pathlib import Path

from tasker_kafka.deploy.cli import session
from tasker_kafka.deploy.cli.console import print_error
from tasker_kafka.deploy.cli.exits import code_of
from tasker_kafka.deploy.cli.run_roles import start
from tasker_kafka.deploy.projecting import run_projection_role
from tasker_kafka.deploy.roles import run_orchestrator_role, run_worker_role
from tasker_kafka.deploy.subscribing import Wanted, run_subscriber_role
from tasker_kafka.schemas.errors import TaskerError
from tasker_kafka.schemas.settings import Settings
from tasker_kafka.topics.log import Log
from tasker_kafka.topics.names import TopicNames
from tasker_kafka.topics.process import run_on_uvloop
from tests.checker import LedgerWriter
from tests.faults.injection import EARLY, LEDGER, PLANTED, DieAt, have_defect, mend_early
from tests.faults.wrong_clock import install

HANDLERS = "tests.faults.handlers"
SUBSCRIBERS = "tests.faults.event_handlers"


def main() -> int:
    """Run the role until it is told to stop: its exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("role", choices=["orchestrator", "worker", "client", "projector", "subscriber"])
    parser.add_argument("--ordinal", type=int, default=0)
    parser.add_argument("--group", help="of subscribers")
    wanted = parser.parse_args()
    settings = start("INFO")
    ledger = LedgerWriter(Path(os.environ[LEDGER]), "injector")
    install(Path(os.environ[LEDGER]), ledger)
    injector = DieAt.told(ledger)
    signal.signal(signal.SIGUSR1, show_tasks)
    if EARLY in os.environ:
        mend_early(float(os.environ[EARLY]))
    try:
        if wanted.role == "orchestrator":
            return run_orchestrator_role(
                lambda: connect(settings),
                settings,
                session.bootstrap_of(settings),
                ordinal=wanted.ordinal,
                crash_points=injector,
            )
        if wanted.role == "worker":
            run_worker_role(lambda: connect(settings), settings, [HANDLERS], crash_points=injector)
        elif wanted.role == "projector":
            run_projection_role(lambda: connect(settings), settings, crash_points=injector)
        elif wanted.role == "subscriber":
            subscribers = Wanted(modules=(SUBSCRIBERS,), groups=(wanted.group,))
            run_subscriber_role(lambda: connect(settings), settings, subscribers, crash_points=injector)
        else:
            from tests.faults.client_role import run_client

            run_on_uvloop(run_client(connect(settings), TopicNames(settings.prefix), injector))
    except TaskerError as error:
        print_error(error)
        return code_of(error)
    return 0


def connect(settings: Settings) -> Log:
    """The log of the settings, with the planted defect if there is one."""
    log = session.connect(settings)
    if PLANTED in os.environ:
        have_defect(log, TopicNames(settings.prefix), os.environ[PLANTED])
    return log


def show_tasks(number: int, frame: object) -> None:
    """SIGUSR1: print what every task waits for, of a role that does not end."""
    for task in asyncio.all_tasks():
        task.print_stack(file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
