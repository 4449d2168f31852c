"""What every page needs from the process that serves it: the backend, and who is looking."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from nicegui import ui

from tasker_kafka.deploy.console.auth import ANONYMOUS, Principal
from tasker_kafka.schemas.settings.console import Role

if TYPE_CHECKING:
    from tasker_kafka.deploy.console.backend import Backend

__all__ = ["actor", "backend", "closed_why", "may", "may_operate", "principal", "provide"]

_held: Final[dict[str, Backend]] = {}


def provide(backend: Backend) -> None:
    """Give the pages their backend; the process has one."""
    _held["backend"] = backend


def backend() -> Backend:
    """The backend of this process. KeyError before `provide`."""
    return _held["backend"]


def principal() -> Principal:
    """Who looks at the page. The guard puts it into the request; a page without a guard is nobody's."""
    user = ui.context.client.request.scope.get("user")
    return user if isinstance(user, Principal) else Principal(ANONYMOUS, Role.READ, is_proven=False)


def actor() -> str:
    """Who acts, as the audit names them."""
    return principal().actor


def may(role: Role) -> bool:
    """Whether who looks may do what this role may."""
    return principal().role.includes(role)


def closed_why() -> str | None:
    """Why no command can be given now, by anybody; None: one can. Who may give none sees none (`may`)."""
    if not backend().reach.broker.is_reachable:
        return "Kafka cannot be reached; commands are written there."
    return None


def may_operate() -> bool:
    """Whether who looks may change tasks."""
    return may(Role.OPERATE)
