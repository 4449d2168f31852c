"""What every page needs from the process that serves it: the backend, and who is looking."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from nicegui import ui

if TYPE_CHECKING:
    from tasker_kafka.deploy.console.backend import Backend

__all__ = ["actor", "backend", "may_operate", "provide"]

_held: Final[dict[str, Backend]] = {}
ANONYMOUS: Final = "console"


def provide(backend: Backend) -> None:
    """Give the pages their backend; the process has one."""
    _held["backend"] = backend


def backend() -> Backend:
    """The backend of this process. KeyError before `provide`."""
    return _held["backend"]


def actor() -> str:
    """Who looks at the page, as the audit names them."""
    user = ui.context.client.request.scope.get("user")
    return str(getattr(user, "actor", "") or ANONYMOUS)


def may_operate() -> bool:
    """Whether who looks may change tasks."""
    user = ui.context.client.request.scope.get("user")
    return str(getattr(user, "role", "operate")) != "read"
