"""Bad records as raw bytes against a real orchestrator; the long run is `python -m tests.fuzz --kafka`."""

from __future__ import annotations

import pytest

from tasker_kafka.topics.brokers import Broker
from tests.fuzz.on_kafka import fuzz_kafka
from tests.fuzz.report import table


@pytest.mark.timeout(180)
def test_bad_records_stop_no_process(kafka: Broker) -> None:
    report = fuzz_kafka(1, 500, kafka.bootstrap_servers)
    assert not report.faults, table(report)
    seen = {kind for kind, _ in report.accounts.outcomes}
    assert {"compressed beyond the limit", "headers that are no text"} <= seen
