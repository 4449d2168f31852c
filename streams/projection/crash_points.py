"""The places in a projector and in a rebuild where a crash is interesting (`topics.crash_points`)."""

from __future__ import annotations

from enum import StrEnum

__all__ = ["ProjectionCrashPoint"]


class ProjectionCrashPoint(StrEnum):
    """Where they may die, in the order in which a batch, then a rebuild passes them."""

    ROWS_WRITTEN = "projection.rows_written"
    """Rows and positions are written, and not committed: nothing of the batch is left. In a rebuild, too."""
    STORE_COMMITTED = "projection.store_committed"
    """They are committed; the group has not been told, and need not be. In a rebuild, too."""
    GROUP_COMMITTED = "projection.group_committed"
    """The group has been told where the store is."""
    REBUILD_BEGUN = "projection.rebuild_begun"
    """The store that is filled is there and empty: one beside the old one, or in place the only one."""
    REBUILD_FILLED = "projection.rebuild_filled"
    """It is whole. The old one is still in its place; in place, the projector still waits."""
    REBUILD_DONE = "projection.rebuild_done"
    """It is in its place, and free for the projector."""
