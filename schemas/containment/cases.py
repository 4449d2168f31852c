"""The ways in which the alternatives of schemas (`anyOf`, `oneOf`) can be taken, each as a plain conjunction."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from typing import Final

from tasker_kafka.schemas.schema_walk import Schema

from .documents import Document

__all__ = ["cases"]

_MOST_CASES: Final = 64
_MOST_LEVELS: Final = 6
"""Of alternatives within alternatives."""


def cases(document: Document, known: Sequence[Schema], level: int = 0) -> Iterator[list[Schema]]:
    """Every value that fits all of `known` fits one of these lists; too many alternatives are left unsaid."""
    choices = [
        each[keyword]
        for each in known
        for keyword in ("anyOf", "oneOf")
        if isinstance(each.get(keyword), list)
    ]
    if not choices or math.prod(map(len, choices)) > _MOST_CASES or level == _MOST_LEVELS:
        yield list(known)
        return
    before = set(map(id, known))
    for picked in itertools.product(*choices):
        further = document.conjuncts(picked)
        if further is None:
            continue
        for case in cases(document, [each for each in further if id(each) not in before], level + 1):
            yield [*known, *case]
