"""A role that loads its code while the broker starts: `python -m tasker_kafka.deploy.demo.role GATE MODULE ARGUMENT…`

Importing Faust alone takes as long as starting Kafka. The process imports MODULE, waits for the file GATE, which names
the broker, and is `tasker ARGUMENT…` from then on.
"""

from __future__ import annotations

import importlib
import os
import sys
import time
from pathlib import Path

from tasker_kafka.deploy.children import end_with_parent

__all__ = ["main"]

POLL_SECONDS = 0.02


def main() -> None:
    """Load, wait, go."""
    gate, module, *arguments = sys.argv[1:]
    end_with_parent()
    importlib.import_module("tasker_kafka.deploy.roles")
    importlib.import_module(module)
    while not Path(gate).exists():
        time.sleep(POLL_SECONDS)
    os.environ["TASKER_BROKER"] = Path(gate).read_text()
    sys.argv = ["tasker", *arguments]
    from tasker_kafka.deploy.cli import main as tasker

    tasker()


if __name__ == "__main__":
    main()
