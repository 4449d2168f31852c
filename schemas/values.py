"""Values and where they lie: inline bytes, or a reference to the payloads topic (claim check)."""

from __future__ import annotations

import msgspec

__all__ = ["PayloadRef", "Value"]


class PayloadRef(msgspec.Struct, frozen=True):
    """Where a large value lies in the payloads topic."""

    partition: int
    offset: int
    size: int
    sha256: bytes


Value = bytes | PayloadRef | None
