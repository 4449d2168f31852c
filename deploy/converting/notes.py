"""What became of one key of an original template."""

from __future__ import annotations

from enum import StrEnum

import msgspec

__all__ = ["Note", "NoteKind"]


class NoteKind(StrEnum):
    """What became of a key."""

    RENAMED = "renamed"
    """The same under another key."""
    CHANGED = "changed"
    """It says something else here: look whether that is what you want."""
    DROPPED = "dropped"
    """It is gone: the text says why, and what to use."""
    EMPTY = "empty"
    """It is gone, and said nothing."""
    NEEDED = "needed"
    """Something to do before the template runs."""


class Note(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one key. `path`: where it stood, as `steps[2].handler_class`."""

    kind: NoteKind
    path: str
    text: str
