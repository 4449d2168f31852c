"""`python -m tasker_kafka.deploy.cli`: the same as `tasker`, where the script is not on the path."""

from __future__ import annotations

from . import main

if __name__ == "__main__":
    main()
