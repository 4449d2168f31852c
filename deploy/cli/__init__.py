"""The command line `tasker`: argument parsing, calls into the layers below, printing; no logic.

Modules import their roles and clients inside the commands, so that `tasker --help` and `tasker submit` start
without Faust. `session.connect` is the one place where a connection is made.
"""

from __future__ import annotations

__all__ = ["main"]


def main() -> None:
    """The entry point of `tasker` and of `python -m tasker_kafka.deploy.cli`."""
    from .app import app

    app(prog_name="tasker")
