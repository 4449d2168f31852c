"""Pure rules of a task: decide, evolve, outputs. No clock, no chance, no input or output.

- `decide(state, command, moment)` gives a `Decision` (one record, and the task after it) or `Ignored`.
- `fold(state, record, plan)` gives the same task from the record alone; `evolve` takes one transition.
- `outputs(before, after, command, record, plan)` gives what is sent beside the record.

The rest of the package is for readers: `readiness` and `views`, `allowing` (what an operator may ask), `timers`,
`retention`, `reconcile`, and the edges themselves in `transitions`.
"""

from __future__ import annotations

from .decide import decide
from .decision import Decision, Ignored, IgnoredReason, Moment
from .errors import HistoryIncomplete, IllegalEdge
from .evolve import evolve
from .fold import fold
from .outputs import Outputs, RefusedRequest, outputs
from .reconcile import findings
from .retention import Forgetting, forget, retire_at
from .timers import due_timers, next_due

__all__ = [
    "Decision",
    "Forgetting",
    "HistoryIncomplete",
    "Ignored",
    "IgnoredReason",
    "IllegalEdge",
    "Moment",
    "Outputs",
    "RefusedRequest",
    "decide",
    "due_timers",
    "evolve",
    "findings",
    "fold",
    "forget",
    "next_due",
    "outputs",
    "retire_at",
]
