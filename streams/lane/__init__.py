"""Intake and engine loops over the log port: order, checkpoints, acquisition. No Faust.

`EngineLane` owns one partition of tasks, `IntakeLane` answers one partition of requests, `LaneHost` holds the lanes
of a process. The order of their effects is said where it is kept: `acquisition`, `checkpoint`, `decider`.
"""

from __future__ import annotations

from .crash_points import CrashPoint
from .engine import EngineLane
from .host import LaneHost
from .intake import IntakeLane
from .metrics import EngineMetrics, IntakeMetrics
from .settings import LaneSettings

__all__ = [
    "CrashPoint",
    "EngineLane",
    "EngineMetrics",
    "IntakeLane",
    "IntakeMetrics",
    "LaneHost",
    "LaneSettings",
]
