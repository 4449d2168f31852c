"""What a proof finds, and what its parts about arrays and objects ask of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import msgspec

from tasker_kafka.schemas.schema_walk import Schema

from .documents import Document, Part

__all__ = ["Doubt", "Prover"]


class Doubt(msgspec.Struct, frozen=True):
    """A demand of the reader's that the writer does not promise."""

    path: str
    """As `$.items[].price`; `$` is the value itself, `*` any property that is not named."""
    keyword: str
    message: str

    def __str__(self) -> str:
        return f"{self.path}: {self.message}"


class Prover(Protocol):
    """The proof, as seen from its parts."""

    writer: Document
    reader: Document
    is_open: bool

    def prove(self, facts: Sequence[Part], wanted: Part, path: str, depth: int) -> list[Doubt]:
        """What of `wanted` does not follow for a value that all of `facts` hold for."""
        ...

    def demand(self, case: Sequence[Schema], kind: str, wanted: Part, path: str, depth: int) -> list[Doubt]:
        """What of `wanted` does not follow for values of one kind in one case."""
        ...

    def has_same(self, case: Sequence[Schema], wanted: Schema, keyword: str) -> bool:
        """Whether a fact has this keyword with the same value."""
        ...
