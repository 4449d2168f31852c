"""Bounds of numbers, lengths and counts: the tightest that several schemas together promise, and what exceeds them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from typing import Any, Final

from tasker_kafka.schemas.schema_walk import Schema

__all__ = ["COUNTS", "is_multiple", "least", "most", "number_demands"]

COUNTS: Final = {"string": ("minLength", "maxLength"), "array": ("minItems", "maxItems")}
"""Kind of value → the keywords that bound its size."""

_Bound = tuple[Fraction, bool]
"""A bound, and whether it is excluded itself."""


def least(facts: Iterable[Schema], keyword: str) -> int:
    """The largest of these lower bounds; 0 without one."""
    return max((int(each[keyword]) for each in facts if keyword in each), default=0)


def most(facts: Iterable[Schema], keyword: str) -> float:
    """The smallest of these upper bounds; infinite without one."""
    return min((int(each[keyword]) for each in facts if keyword in each), default=math.inf)


def number_demands(facts: Sequence[Schema], wanted: Schema, *, is_whole: bool) -> Iterator[tuple[str, str]]:
    """Keyword and message of each demand on numbers that these facts do not promise. `is_whole`: integers only."""
    for sign, plain, excluding, word in (
        (1, "minimum", "exclusiveMinimum", "at least"),
        (-1, "maximum", "exclusiveMaximum", "at most"),
    ):
        asked = _bound([wanted], sign, plain, excluding, is_whole)
        promised = _bound(facts, sign, plain, excluding, is_whole)
        if asked is not None and (promised is None or promised < asked):
            keyword = excluding if asked[1] or plain not in wanted else plain
            words = word if keyword == plain else "more than" if sign > 0 else "less than"
            yield keyword, f"must be {words} {wanted.get(keyword)} now"
    if "multipleOf" in wanted:
        known = [each["multipleOf"] for each in facts if "multipleOf" in each]
        if not any(is_multiple(each, wanted["multipleOf"]) for each in [*known, *([1] if is_whole else [])]):
            yield "multipleOf", f"must be a multiple of {wanted['multipleOf']} now"


def is_multiple(value: float, of: float) -> bool:
    """Whether one number of a schema is a whole multiple of another, by any arithmetic: of decimals only itself is."""
    if value == of:
        return True
    whole = [_exact(each).denominator == 1 for each in (value, of)]
    return all(whole) and _exact(value) % _exact(of) == 0


def _bound(facts: Iterable[Schema], sign: int, plain: str, excluding: str, is_whole: bool) -> _Bound | None:
    """The tightest bound, upper ones with their sign turned, so that larger is tighter for both."""
    found: list[_Bound] = []
    for each in facts:
        for keyword, is_excluded in ((plain, False), (excluding, True)):
            if keyword in each:
                value = sign * _exact(each[keyword])
                if is_whole:
                    value = Fraction(math.floor(value) + 1 if is_excluded else math.ceil(value))
                found.append((value, is_excluded and not is_whole))
    return max(found, default=None)


def _exact(number: Any) -> Fraction:
    """As it is written: 0.1 is a tenth."""
    return Fraction(str(number)) if isinstance(number, float) else Fraction(number)
