"""Counts what a lane does, as plain numbers that telemetry reads and tests compare (invariant I12)."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

__all__ = ["EngineMetrics", "IntakeMetrics"]


@dataclass(slots=True)
class EngineMetrics:
    """One engine lane's counters since it was acquired.

    Every record that was read is counted once: read = skipped + decided + ignored + heartbeats + refused.
    """

    read: int = 0
    skipped: int = 0
    """Below the next command: decided by an earlier owner or read twice."""
    decided: int = 0
    """Changed something or had an output: a transitions record was written."""
    ignored: Counter[str] = field(default_factory=Counter)
    """Changed nothing, by reason: duplicates, late results, timers that do not fit any more."""
    heartbeats: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    """Poison and misrouted records by code."""
    quarantined: int = 0
    """Tasks ended by an error inside the rules or their output."""
    replayed: int = 0
    """Recorded decisions evolved, and their outputs repeated, when the partition was taken."""
    unrepeated: int = 0
    """Replayed decisions of which today's rules cannot build the outputs: 0 without a fault in a release."""
    dispatches: int = 0
    domain_events: int = 0
    dropped_events: int = 0
    """Domain events that should have left and could not be made or written: a log line says which."""
    rejections: int = 0
    cancellations: int = 0
    dlq_entries: int = 0
    timers: int = 0
    """TimerDue commands written."""
    forgets: int = 0
    forgotten: int = 0
    """Stubs dropped."""
    reconciled: Counter[str] = field(default_factory=Counter)
    """What the reconciler had to mend, by kind: 0 without a fault (redispatch: by age)."""
    stalls: int = 0
    checkpoints: int = 0
    checkpoint_states: int = 0
    checkpoint_seconds: float = 0.0
    """Sum over all checkpoints; `last_checkpoint_seconds` is the newest."""
    last_checkpoint_seconds: float = 0.0
    acquire_seconds: float = 0.0


@dataclass(slots=True)
class IntakeMetrics:
    """One intake lane's counters: read = skipped + started + rejected (by code)."""

    read: int = 0
    skipped: int = 0
    started: Counter[str] = field(default_factory=Counter)
    """By namespace."""
    rejected: Counter[str] = field(default_factory=Counter)
    """By code."""
    payloads: int = 0
    """Contexts too large to travel inline."""
