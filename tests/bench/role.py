"""Starts a role as `python -m tasker_kafka.deploy.cli` does, with one line of its log per checkpoint.

The line is DEBUG, because nobody wants twelve of them a second; all of DEBUG would be measured instead of the engine.
The role ends when the process that started it is gone, so that a benchmark which is killed leaves nothing behind.
"""

from __future__ import annotations

import logging
import os

from tasker_kafka.deploy.children import PARENT_VARIABLE
from tasker_kafka.deploy.cli import main

if __name__ == "__main__":
    os.environ[PARENT_VARIABLE] = str(os.getppid())
    logging.getLogger("tasker.lane.checkpoint").setLevel(logging.DEBUG)
    main()
