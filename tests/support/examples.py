"""How many examples of a property are tried: a part of them in each run, all of them in `make faults-short`.

What a property is likely to find it finds among the first examples; the rest is for what is rare, and belongs where
there is time. A test that says its own number says it with `examples`, all others have Hypothesis' number, 100.
"""

from __future__ import annotations

import os
from typing import Final

__all__ = ["OF_HYPOTHESIS", "examples"]

OF_HYPOTHESIS: Final = 100
"""Examples of a property that names no number."""
_ALL: Final = os.environ.get("EXAMPLES") == "all"
_PART: Final = 2
_LEAST: Final = 25


def examples(count: int) -> int:
    """This many with `EXAMPLES=all` in the environment, else half of them, but not fewer than 25."""
    return count if _ALL else min(count, max(_LEAST, count // _PART))
