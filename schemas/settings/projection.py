"""Settings of the projection: where it is kept, how much of it, and for how long."""

from __future__ import annotations

from .section import Section, setting

__all__ = ["ProjectionSettings"]


class ProjectionSettings(Section):
    """The store that lists, searches and the console read from; it can be made anew from the log at any time."""

    url: str | None = setting(
        None,
        "Where it is: a path or sqlite:///… for SQLite, postgresql://user@host/database for PostgreSQL. Default: a file"
        " per prefix in the user's state folder. Passwords belong into PGPASSFILE.",
        min_length=1,
    )
    retention_hours: float = setting(
        720.0, "How long a closed task stays.", zero="for ever, as far as the log is kept", ge=0
    )
    batch_records: int = setting(
        2_000, "Most records that are written in one transaction.", zero="refused", ge=1, le=50_000
    )
    events: bool = setting(
        True, "Whether domain events of tasks, their receipts and their dead letters are projected, too."
    )
