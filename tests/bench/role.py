"""Starts a role as `python -m tasker_kafka.deploy.cli` does, with one line of its log per checkpoint.

The line is DEBUG, because nobody wants twelve of them a second; all of DEBUG would be measured instead of the engine.
"""

from __future__ import annotations

import logging

from tasker_kafka.deploy.cli import main

if __name__ == "__main__":
    logging.getLogger("tasker.lane.checkpoint").setLevel(logging.DEBUG)
    main()
