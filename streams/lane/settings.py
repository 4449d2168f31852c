"""How a lane behaves in time and size. Nothing here may influence `decide`: only when and how much is done at once."""

from __future__ import annotations

from dataclasses import dataclass

from tasker_kafka.topics.crash_points import NO_CRASH_POINTS, CrashPoints

from .crash_points import CrashPoint

__all__ = ["LaneSettings"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LaneSettings:
    """The knobs of intake and engine lanes. Every field says its unit, default and what zero means."""

    tick_interval_ms: int = 50
    """How often the host calls `EngineLane.tick`: the resolution of timers."""
    checkpoint_interval_ms: int = 300
    """How often the host asks for a checkpoint. Longer: more to replay after a crash; shorter: more transactions."""
    checkpoint_timeout_ms: int = 10_000
    """A checkpoint that takes longer is the loss of the partition; also the broker's transaction timeout."""
    acquire_timeout_ms: int = 60_000
    """How long taking a partition may wait for the log without any progress; then the partition is lost."""
    slice_size: int = 200
    """Heads decoded, or tasks looked over, before the loop gets its turn again (about 1 ms)."""
    decisions_at_once: int = 64
    """Commands of one batch decided before the loop gets its turn again (about 5 ms). A turn of a drained engine is one
    slice of every partition, and a checkpoint needs many turns."""
    states_at_once: int = 1_000
    """States of a checkpoint encoded before the loop gets its turn again (about 10 ms). Against `decisions_at_once` it
    is the share of the processor that saving gets: with small slices a checkpoint under load took seconds."""
    decoded_limit: int = 50_000
    """Decoded states kept per partition; older ones go back to bytes. 0 decodes a task for every command."""
    timer_repeat_ms: int = 5_000
    """A TimerDue that is not answered is written again after this."""
    timers_per_tick: int = 500
    """Tasks whose due timers one tick looks at, at most."""
    stall_ms: int = 2_000
    """A tick, a barrier or a batch later than this is a stall: heartbeats get their timeout anew."""
    forget_interval_ms: int = 60_000
    """How often a partition asks whether something is to be forgotten."""
    forget_limit: int = 2_000
    """Stubs dropped by one Forget, about (it is decided in one go). What is left goes as soon as it is done."""
    reconcile_interval_ms: int = 60_000
    """How often a partition is looked over for what should have moved. 0: never."""
    accept_loss: bool = False
    """`--accept-loss`: take a partition although commands or history of it are gone. What is lost is logged."""
    verify_folds: bool = False
    """Fold every record beside `decide` and compare (tests): the state must be what the log says."""
    crash_points: CrashPoints[CrashPoint] = NO_CRASH_POINTS
    """Called at every named crash point."""
