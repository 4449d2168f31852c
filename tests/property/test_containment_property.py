"""The comparison of schemas keeps its word: what it calls compatible is, what it calls broken is shown.

Schemas are drawn kind by kind, and the newer one of a pair is the older one with one thing changed somewhere: two
schemas drawn apart have nothing to do with each other, and nothing would be learnt.
"""

from __future__ import annotations

import copy

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasker_kafka.schemas.containment import Verdict, compare
from tasker_kafka.schemas.containment.documents import Document
from tasker_kafka.schemas.containment.examples import counterexample
from tasker_kafka.schemas.schema_check import schema_for
from tests.support.examples import examples
from tests.support.schema_author import pairs


@pytest.mark.slow
@settings(max_examples=examples(25), deadline=None)
@given(st.integers(0, 2**32), st.booleans())
def test_the_answer_holds(seed: int, is_open: bool) -> None:
    for older, newer in pairs(seed):
        found = compare(older, newer, is_open=is_open)
        if found.verdict is Verdict.COMPATIBLE:
            # The search for values knows nothing of the proof.
            shown = counterexample(Document(older, "writer"), Document(newer, "reader"), is_open=is_open)
            assert shown == [], (older, newer)
        elif found.verdict is Verdict.BROKEN:
            assert schema_for(older).is_satisfied_by(found.example), (older, newer)
            assert not schema_for(newer).is_satisfied_by(found.example), (older, newer)
            assert found.doubts


@settings(max_examples=examples(25), deadline=None)
@given(st.integers(0, 2**32))
def test_a_schema_is_compatible_with_itself(seed: int) -> None:
    for schema, _ in pairs(seed):
        assert compare(schema, copy.deepcopy(schema), is_open=True).verdict is Verdict.COMPATIBLE


@settings(max_examples=examples(10), deadline=None)
@given(st.integers(0, 2**32))
def test_what_fits_two_schemas_fits_each(seed: int) -> None:
    for one, other in pairs(seed):
        both = {"allOf": [one, other], "$defs": one["$defs"]}
        assert compare(both, other, is_open=True).verdict is not Verdict.BROKEN


@pytest.mark.slow
def test_most_answers_are_decided() -> None:
    """So that the tests above look at something."""
    found = [compare(*pair, is_open=True).verdict for seed in range(20) for pair in pairs(seed)]
    shares = {verdict: found.count(verdict) / len(found) for verdict in Verdict}
    assert min(shares[Verdict.COMPATIBLE], shares[Verdict.BROKEN]) > 0.2, shares
    assert shares[Verdict.UNDECIDED] < 0.35, shares
