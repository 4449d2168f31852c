"""A `tasker` that completes from a log in memory: what the scripts of real shells call in the tests of completion."""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path

from typer.testing import CliRunner

from tasker_kafka.deploy.cli import completing, main, session
from tasker_kafka.deploy.cli.app import app
from tasker_kafka.topics.memory import MemoryCluster, MemoryLog
from tests.support import shop_handlers

ROOT = Path(__file__).parents[2]


def put_program(folder: Path) -> None:
    """An executable `tasker` in this folder."""
    program = folder / "tasker"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m tests.support.completing {folder} "$@"\n')
    program.chmod(program.stat().st_mode | stat.S_IXUSR)


def environment(folder: Path) -> dict[str, str]:
    """For a shell that finds that program, and nothing of this machine's settings."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("TASKER_")}
    return {
        **kept,
        "PATH": f"{folder}:{os.environ['PATH']}",
        "HOME": str(folder),
        "PYTHONPATH": str(ROOT),
        "TASKER_BROKER": "memory:1",
        "TERM": "dumb",
    }


def run(folder: Path) -> None:
    """Publish the shop's templates in memory, then be `tasker`."""
    cluster = MemoryCluster()
    session.connect = lambda settings: MemoryLog(cluster)
    # However busy the machine is that runs the tests.
    completing.LIMIT_SECONDS = 60.0  # type: ignore[misc]  # final for everybody else
    asked = {name: os.environ.pop(name) for name in list(os.environ) if name == completing.REQUEST}
    templates = folder / "shop.yaml"
    templates.write_text(shop_handlers.TEMPLATES)
    for words in (["topics", "create", "--partitions", "1"], ["template", "publish", str(templates)]):
        done = CliRunner().invoke(app, words)
        assert done.exit_code == 0, done.output
    os.environ |= asked
    main()


if __name__ == "__main__":
    place = Path(sys.argv.pop(1))
    sys.argv[0] = "tasker"
    run(place)
