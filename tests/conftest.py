"""What all tests share: markers by folder, seeded chance, and Hypothesis profiles.

Fixtures of brokers are in `tests/support/brokers.py`.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tasker_kafka.handlers.testing.stages import KafkaStage
from tests.support.examples import OF_HYPOTHESIS, examples
from tests.support.patience import PATIENCE_SECONDS
from tests.support.seeded import seeded

pytest_plugins = ["tests.support.brokers"]

TESTS = Path(__file__).parent
KAFKA_FOLDERS = ("integration", "faults")
# The stages on a broker look for tests nowhere else (Makefile).
MAY_BE_KAFKA = (*KAFKA_FOLDERS, "behaviour", "browser", "contract")

# CI repeats the same examples; at a desk each run looks for new ones. Time limits are pytest's.
settings.register_profile(
    "desk",
    deadline=None,
    max_examples=examples(OF_HYPOTHESIS),
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile("ci", settings.get_profile("desk"), derandomize=True, print_blob=True)
settings.load_profile("ci" if os.environ.get("CI") else "desk")

# What a workflow test on a broker waits at most when a test says nothing.
KafkaStage.patience_seconds = PATIENCE_SECONDS


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark as `kafka` what lies in a folder of broker tests, unless it is marked `docker`.

    UsageError: a test has the mark where no stage would run it.
    """
    for item in items:
        folder = item.path.relative_to(TESTS).parts[0] if item.path.is_relative_to(TESTS) else ""
        if folder in KAFKA_FOLDERS and item.get_closest_marker("docker") is None:
            item.add_marker("kafka")
        if folder and folder not in MAY_BE_KAFKA and item.get_closest_marker("kafka") is not None:
            raise pytest.UsageError(
                f"{item.nodeid}: a test on a broker belongs into {', '.join(MAY_BE_KAFKA)}"
            )


@pytest.fixture(autouse=True)
def _chance_of_its_own(request: pytest.FixtureRequest) -> Iterator[None]:
    """A test in memory draws the same ids in every run, decided by its name; one on a broker draws real ones."""
    if request.node.get_closest_marker("kafka") or request.node.get_closest_marker("docker"):
        yield
        return
    with seeded(request.node.nodeid):
        yield
