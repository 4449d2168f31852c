"""The command line `tasker`: argument parsing, calls into the layers below, printing; no logic.

Modules import their roles and clients inside the commands, so that `tasker --help` and `tasker submit` start
without Faust. `session.connect` is the one place where a connection is made.
"""

from __future__ import annotations

__all__ = ["main"]


def main() -> None:
    """The entry point of `tasker` and of `python -m tasker_kafka.deploy.cli`."""
    import os
    import sys
    import traceback

    from .app import app
    from .completing import is_completion, serve_completion
    from .console import take_any_terminal
    from .exits import CommandExit

    if is_completion(os.environ):
        serve_completion(app)
    take_any_terminal()
    try:
        app(prog_name="tasker")
    except Exception:  # a defect: errors that users can mend have been printed and turned into codes
        traceback.print_exc()
        sys.exit(CommandExit.INTERNAL)
