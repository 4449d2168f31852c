"""The places in an orchestrator where a crash is interesting (`topics.crash_points`)."""

from __future__ import annotations

from enum import StrEnum

__all__ = ["CrashPoint"]


class CrashPoint(StrEnum):
    """Where a lane may die, in the order in which a partition's life passes them."""

    ACQUIRE_BEGIN = "acquire.begin"
    ACQUIRE_FENCED = "acquire.fenced"
    ACQUIRE_MARKED = "acquire.marked"
    ACQUIRE_LOADED = "acquire.loaded"
    ACQUIRE_HISTORY_READ = "acquire.history_read"
    REPLAY_OUTPUTS_REPEATED = "replay.outputs_repeated"
    ACQUIRE_LIVE = "acquire.live"
    DECIDED = "process.decided"
    TRANSITIONS_SENT = "process.transitions_sent"
    OUTPUTS_SENT = "process.outputs_sent"
    BATCH_DONE = "process.batch_done"
    REFUSED = "process.refused"
    TIMER_SENT = "tick.timer_sent"
    FORGET_SENT = "tick.forget_sent"
    RECONCILE_SENT = "tick.reconcile_sent"
    CHECKPOINT_CUT = "checkpoint.cut"
    CHECKPOINT_ENCODED = "checkpoint.encoded"
    CHECKPOINT_BARRIER = "checkpoint.barrier"
    CHECKPOINT_COMMITTED = "checkpoint.committed"
    RELEASED = "release.done"
    INTAKE_PAYLOAD_STORED = "intake.payload_stored"
    INTAKE_STARTED = "intake.start_sent"
    INTAKE_REJECTED = "intake.rejection_sent"
    INTAKE_BARRIER = "intake.barrier"
    COMMANDS_COMMITTED = "host.commands_committed"
    REQUESTS_COMMITTED = "host.requests_committed"
