"""Whether every value that one JSON Schema accepts is accepted by another.

The question cannot be decided for all schemas (patterns, `not`, conditions), so there are three answers, and each is
held to: `compatible` is proved (`proof`), `broken` is shown by a value that the one accepts and the other refuses
(`examples`), and what is neither is `undecided`, with the places where the proof ended.
"""

from __future__ import annotations

from .compare import Comparison, Verdict, compare
from .doubts import Doubt

__all__ = ["Comparison", "Doubt", "Verdict", "compare"]
