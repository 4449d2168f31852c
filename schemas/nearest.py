"""The nearest known word to an unknown one, so that every refusal of a name can say what was meant."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

__all__ = ["did_you_mean", "nearest"]

_LONGEST = 128
"""Longer words are no typos, and comparing them would cost more than the answer is worth."""
_MOST_LISTED = 20
_SHORTEST_PREFIX = 3


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known word that `word` most likely stands for, or None if nothing is close.

    Case, hyphens and underscores do not count; the beginning of a known word is enough. Of equal candidates
    it is the first in alphabetical order.
    """
    if len(word) > _LONGEST:
        return None
    plain = {_plain(each): each for each in sorted(known, reverse=True)}
    wanted = _plain(word)
    if wanted in plain:
        return plain[wanted]
    longer = [each for each in plain if each.startswith(wanted)] if len(wanted) >= _SHORTEST_PREFIX else []
    found = sorted(longer, key=len) or difflib.get_close_matches(wanted, plain, n=1, cutoff=0.65)
    return plain[found[0]] if found else None


def did_you_mean(word: str, known: Iterable[str], *, kind: str = "keys") -> str:
    """A clause for a message: the nearest known word, or else the known words of that `kind` if they are few."""
    words = sorted(set(known))
    found = nearest(word, words)
    if found is not None:
        return f"did you mean `{found}`?"
    if words and len(words) <= _MOST_LISTED:
        return f"{kind} known here: {', '.join(words)}"
    return (
        f"nothing similar is known among the {len(words)} {kind} here"
        if words
        else f"there are no {kind} here"
    )


def _plain(word: str) -> str:
    return word.lower().replace("_", "").replace("-", "").replace(" ", "")
