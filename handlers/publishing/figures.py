"""Counts what publishing does, as plain numbers that telemetry reads and tests compare."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["PublishingFigures"]


@dataclass(slots=True)
class PublishingFigures:
    """One process's counters since its start."""

    published: int = 0
    """Events that code published itself."""
    made: int = 0
    """Declared events made from a step's result or failure."""
    unfit: int = 0
    """Declared events not made, because the result or failure does not fit their schema."""
    vetoed: int = 0
    """Events that a publisher decided not to publish."""
    publisher_failures: int = 0
    """Events lost because a publisher raised, took too long, or returned what does not fit."""
    oversize: int = 0
    """Made events left out because the answer would be larger than a record may be."""
    accepted: int = 0
    """Fire-and-forget events given to the buffer: sent + failed + dropped + still waiting."""
    sent: int = 0
    """Fire-and-forget events that the broker has acknowledged."""
    failed: int = 0
    """Fire-and-forget events handed to the broker without an acknowledgement, or to no topic."""
    dropped: int = 0
    """Fire-and-forget events that found the buffer full, or were still in it at the end."""
