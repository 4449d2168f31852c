"""Puts the API into an application."""

from __future__ import annotations

from fastapi import FastAPI

from . import commands, health, letters, system, tasks

__all__ = ["mount_api"]


def mount_api(app: FastAPI) -> None:
    """Every route at the root. `app.state.backend` must be set before the first request."""
    # Fixed paths first: `/tasks/bulk` is no task.
    for each in (commands, tasks, system, letters, health):
        app.include_router(each.router)
