"""`tasker doctor`: what is wrong with a system, and what to do about it."""

from __future__ import annotations

import typer

from . import session
from .console import print_json, print_text
from .exits import CommandExit
from .guard import run
from .options import AsJson

__all__ = ["doctor"]

SIGNS = {"ok": "ok     ", "wrong": "WRONG  ", "unknown": "unknown"}


def doctor(as_json: AsJson = False) -> None:
    """Look at broker, topics, templates, roles, waiting steps and subscribers; exit code 1 if one is wrong."""
    from tasker_kafka.deploy.doctor import examine
    from tasker_kafka.deploy.wiring import apply_to_process
    from tasker_kafka.schemas.settings import load_settings

    settings = load_settings()
    apply_to_process(settings)
    found = run(examine(settings, session.bootstrap_of(settings), lambda: session.connect(settings)))
    if as_json:
        from tasker_kafka.deploy.reading import jsonable

        print_json({"is_well": found.is_well, "checks": jsonable(found.checks)})
    else:
        for check in found.checks:
            print_text(f"{SIGNS[check.verdict]}  {check.name}: {check.message}")
            if check.way_out is not None and check.verdict != "ok":
                print_text(f"         → {check.way_out}")
    if not found.is_well:
        raise typer.Exit(CommandExit.REFUSED)
