"""What the templates topic holds: a published template under its plan's hash, and which plan a version names."""

from __future__ import annotations

import msgspec

__all__ = ["PublishedTemplate", "TemplatePointer"]


class PublishedTemplate(msgspec.Struct, frozen=True, kw_only=True):
    """A compiled plan and what it was compiled from; key = plan hash."""

    plan_hash: bytes
    plan: bytes
    """Canonical JSON; its SHA-256 is `plan_hash`."""
    source: str
    """The template as its author wrote it (YAML, or empty for one built in Python)."""
    published_at: int
    published_by: str


class TemplatePointer(msgspec.Struct, frozen=True, kw_only=True):
    """Which plan a template's version is; key = `namespace/name@version`."""

    namespace: str
    name: str
    version: str
    plan_hash: bytes
