"""The console's pages. `mount` puts them into the process's web application."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from fastapi import FastAPI

    from tasker_kafka.deploy.console.backend import Backend

__all__ = ["PAGES", "mount"]

PAGES: Final = ("tasks", "task_page", "templates")
"""Modules whose import registers pages."""

OPERATIONS: Final = ("letters", "stale", "rejections", "workers", "groups", "health", "analytics")
"""The same, of the pages about the running system."""


def mount(app: FastAPI, backend: Backend, settings: Any = None) -> None:
    """Serve the pages under /console from `app`. Once per process: the library that draws them is one per process."""
    from importlib import import_module

    from nicegui import app as pages
    from nicegui import ui

    from . import context, shell

    context.provide(backend)
    for name in (*PAGES, *OPERATIONS):
        import_module(f"{__name__}.{name}")
    pages.add_static_files(shell.STATIC_PATH, shell.STATIC, max_cache_age=31_536_000)
    ui.add_head_html(shell.head_html(), shared=True)
    ui.run_with(
        app,
        title="Tasker",
        language="en-US",
        dark=None,
        tailwind=False,
        reconnect_timeout=10.0,
        show_welcome_message=False,
        storage_secret=None,
    )
