"""The log on which a step worker is tested: each side in turn."""

from __future__ import annotations

import pytest

from .worker_sides import Side, kafka_side, memory_side


@pytest.fixture(params=["memory", pytest.param("kafka", marks=pytest.mark.kafka)])
def side(request: pytest.FixtureRequest, prefix: str) -> Side:
    """In memory on a virtual clock, then on a real broker."""
    if request.param == "memory":
        return memory_side(prefix)
    return kafka_side(prefix, request.getfixturevalue("kafka").bootstrap_servers)
