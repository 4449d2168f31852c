"""The answer to one comparison: proof first, then a counterexample."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

import msgspec

from tasker_kafka.schemas.schema_walk import Schema

from .documents import Document
from .doubts import Doubt
from .examples import counterexample
from .proof import Proof

__all__ = ["Comparison", "Verdict", "compare"]


class Verdict(StrEnum):
    """Whether the reader accepts everything that the writer's schema does."""

    COMPATIBLE = "compatible"
    """It does; this is proved."""
    BROKEN = "broken"
    """It does not; `example` is a value that shows it."""
    UNDECIDED = "undecided"
    """Neither a proof nor an example was found."""


class Comparison(msgspec.Struct, frozen=True):
    """A verdict, and why."""

    verdict: Verdict
    doubts: tuple[Doubt, ...] = ()
    """Demands of the reader's that could not be proved; none if compatible."""
    example: Any = None
    """A value that the writer's schema accepts and the reader's refuses, if broken."""


def compare(writer: Schema | None, reader: Schema | None, *, is_open: bool = False) -> Comparison:
    """Whether `reader` accepts every value that `writer` does. Both must have passed `check_schema`; None: any value.

    is_open: properties that the writer's schema does not name may be there wherever it does not forbid them.
    """
    written, read = Document(writer, "writer"), Document(reader, "reader")
    doubts = Proof(written, read, is_open=is_open).doubts()
    if not doubts:
        return Comparison(Verdict.COMPATIBLE)
    if written.is_sound and read.is_sound:
        for example in counterexample(written, read, is_open=is_open):
            return Comparison(Verdict.BROKEN, doubts, example)
    return Comparison(Verdict.UNDECIDED, doubts)
