"""The part of the proof about arrays."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tasker_kafka.schemas.schema_walk import Schema

from .documents import Part
from .doubts import Doubt, Prover
from .ranges import COUNTS, least, most

__all__ = ["array_demands", "longest"]


def array_demands(
    proof: Prover, case: Sequence[Schema], wanted: Schema, path: str, depth: int
) -> Iterator[Doubt]:
    """What a schema asks of arrays beyond what these facts promise; their length is looked at elsewhere."""
    yield from _items(proof, case, wanted, path, depth)
    is_unique = longest(case) <= 1 or any(each.get("uniqueItems") is True for each in case)
    if wanted.get("uniqueItems") is True and not is_unique:
        yield Doubt(path, "uniqueItems", "may not hold an item twice now")
    if "contains" in wanted and not _holds(proof, case, wanted):
        yield Doubt(path, "contains", "must hold other items now (`contains`)")
    if "unevaluatedItems" in wanted and longest(case) > 0:
        yield Doubt(path, "unevaluatedItems", "`unevaluatedItems` is new, or another one than it was")


def longest(case: Sequence[Schema]) -> float:
    """How many items an array has at most."""
    closed = [len(each.get("prefixItems", ())) for each in case if each.get("items") is False]
    return min([most(case, COUNTS["array"][1]), *closed])


def _items(proof: Prover, case: Sequence[Schema], wanted: Schema, path: str, depth: int) -> Iterator[Doubt]:
    prefixes = max(len(each.get("prefixItems", ())) for each in (*case, wanted))
    for position in range(prefixes + 1):
        if position >= longest(case):
            return
        asked = _item(wanted, position)
        if asked is None:
            continue
        facts = [found for each in case if (found := _item(each, position)) is not None]
        place = f"{path}[{position}]" if position < prefixes else f"{path}[]"
        yield from proof.prove(facts, asked, place, depth + 1)


def _item(schema: Schema, position: int) -> Part | None:
    """What a schema says of the item at a position; None: nothing."""
    prefix: Sequence[Part] = schema.get("prefixItems", ())
    if position < len(prefix):
        return prefix[position]
    found: Part | None = schema.get("items")
    return found


def _holds(proof: Prover, case: Sequence[Schema], wanted: Schema) -> bool:
    fewest, highest = wanted.get("minContains", 1), most([wanted], "maxContains")
    if fewest == 0 and highest >= longest(case):
        return True
    same = [each for each in case if "contains" in each and proof.has_same([each], wanted, "contains")]
    if any(each.get("minContains", 1) >= fewest and most([each], "maxContains") <= highest for each in same):
        return True
    if highest < longest(case) or least(case, COUNTS["array"][0]) < fewest:
        return False
    every = [each["items"] for each in case if "items" in each and "prefixItems" not in each]
    return bool(every) and not proof.prove(every, wanted["contains"], "$", 0)
