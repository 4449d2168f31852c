"""Versions of an event's schema: BACKWARD_TRANSITIVE, so that who knows the newest version reads every older event.

Events are kept, and a task publishes by the plan it was created with, so older versions are met long after a newer one
exists. Each version must therefore take everything that any lower one allowed. Nothing is asked the other way round:
subscribers ignore properties that they do not know.

Two things that cannot be settled by looking at the schemas are settled by convention. A property that an object's
schema does not name is taken as not sent, unless it says `additionalProperties`; otherwise no property could ever be
added (`is_open` asks for the strict reading). And whether one pattern, `not` or condition contains another is not
decidable in practice: an answer `undecided` says where, and a person has to judge.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping

import msgspec

from .containment import Comparison, Verdict, compare
from .containment.documents import WORDS, text_of
from .schema_walk import Schema, mapped

__all__ = ["VersionClash", "find_clashes", "is_same_contract", "version_key"]

_MOST_REASONS = 5
_LONGEST_EXAMPLE = 200


class VersionClash(msgspec.Struct, frozen=True):
    """A version that does not read, or is not known to read, what a lower one allowed."""

    older: str
    newer: str
    comparison: Comparison

    @property
    def is_certain(self) -> bool:
        """Shown by an example; otherwise undecided."""
        return self.comparison.verdict is Verdict.BROKEN

    def __str__(self) -> str:
        doubts = self.comparison.doubts
        reasons = "; ".join(map(str, doubts[:_MOST_REASONS]))
        more = f" (and {len(doubts) - _MOST_REASONS} more)" if len(doubts) > _MOST_REASONS else ""
        if self.is_certain:
            example = text_of(self.comparison.example)
            shown = f"{example[:_LONGEST_EXAMPLE]}…" if len(example) > _LONGEST_EXAMPLE else example
            return f"{self.newer} cannot read what {self.older} allowed: {reasons}{more}; for example {shown}"
        return f"whether {self.newer} reads what {self.older} allowed cannot be decided: {reasons}{more}"


def version_key(version: str) -> tuple[int, ...]:
    """Versions in their order: 1.10 after 1.9; 1, 1.0 and 1.0.0 are the same."""
    parts = [int(part) for part in version.split(".")]
    while len(parts) > 1 and parts[-1] == 0:
        parts.pop()
    return tuple(parts)


def find_clashes(versions: Mapping[str, Schema | None], *, is_open: bool = False) -> Iterator[VersionClash]:
    """Every pair of an event's versions of which the newer does not read the older for certain.

    versions: version → schema that has passed `check_schema`; None: the payload is not described.
    is_open: properties that a schema does not name may be there wherever it does not forbid them.
    """
    for older, newer in itertools.combinations(sorted(versions, key=version_key), 2):
        found = compare(versions[older], versions[newer], is_open=is_open)
        if found.verdict is not Verdict.COMPATIBLE:
            yield VersionClash(older, newer, found)


def is_same_contract(one: Schema | None, other: Schema | None) -> bool:
    """Whether two schemas differ in nothing but words for people."""
    return _contract(one) == _contract(other)


def _contract(schema: Schema | None) -> str:
    return text_of(
        mapped(schema or {}, lambda each: {name: value for name, value in each.items() if name not in WORDS})
    )
