"""Settings of Faust that a fault run has shown to be wrong by default."""

from __future__ import annotations

import uuid

from tasker_kafka.streams.runtime.app import create_app
from tasker_kafka.streams.runtime.config import OrchestratorConfig
from tasker_kafka.topics.memory import MemoryLog


async def test_a_checkpoint_under_way_at_an_assignment_is_no_inconsistency() -> None:
    # Faust compared the changelog's end as we read it, open transaction included, with its own, which ended before:
    # recovery crashed, and with it the orchestrator.
    config = OrchestratorConfig(bootstrap="127.0.0.1:1", prefix=f"t{uuid.uuid4().hex[:8]}", ordinal=0)
    app = create_app(config, MemoryLog())
    assert app.conf.recovery_consistency_check is False
    app._ordinal.release()
