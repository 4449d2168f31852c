"""Templates of the first Tasker, read and written anew: what carries over, under which key, and what does not.

Knows the Rails form (`step_templates`, `handler_class`, `depends_on_step`, …) and the Rust form (`steps`, `handler`,
`retry.limit`, `delivery_mode`, …). Every key of the original is accounted for: it is in the new template, or a note
says why not and what to use. Nothing is guessed about handlers: their names are made of the class names, and each one
that is needed is listed.
"""

from __future__ import annotations

from .conversion import Converted, convert
from .notes import Note, NoteKind

__all__ = ["Converted", "Note", "NoteKind", "convert"]
