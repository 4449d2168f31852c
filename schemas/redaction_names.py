"""Which keys hold secrets: filters over the words of a name.

The original Tasker looked for substrings, and so hid `business_name` (ssn) and `idempotency_key` as well. Here a
key is split into words, whatever its spelling (`cardSsn`, `card_ssn`, `CARD-SSN2`), and a filter must match
whole words of it, written together or apart.
"""

from __future__ import annotations

import fnmatch
import re
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from typing import Final

from .errors import ConfigurationError

__all__ = ["NameFilter", "may_hide", "split_words", "strip_invisible"]

INVISIBLE: Final = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164"
    "\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufff8\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)
"""Characters that nobody sees: zero-width, joiners, directions, fillers, variation selectors, tags."""
_TERMINAL: Final = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]{0,64}[ -/]{0,16}[@-~]"  # colours and cursor
    r"|\x1b\][^\x07\x1b]{0,512}(?:\x07|\x1b\\)"  # titles and links
    r"|\x1b[@-Z\\^_]"
)
"""What a terminal obeys and nobody sees: coloured output would otherwise hide `password` behind `31m`."""
_CACHED_KEYS: Final = 8_192
_LONGEST_RUN: Final = 8
"""Words that are tried joined; more would only cost time."""
_LONGEST_KEY: Final = 512
"""A longer key is no name. What it holds is hidden: taking it apart would cost more than showing it is worth."""

Words = tuple[str, ...]


def strip_invisible(text: str) -> str:
    """The text without characters that nobody sees."""
    if not may_hide(text):
        return text
    return _TERMINAL.sub("", INVISIBLE.sub("", text))


def may_hide(text: str) -> bool:
    """Whether `strip_invisible` may change the text; quick to ask."""
    return not text.isascii() or "\x1b" in text


@lru_cache(maxsize=_CACHED_KEYS)
def split_words(key: str) -> Words:
    """The words of a name, in small letters: at separators, at changes of case and around digits."""
    text = unicodedata.normalize("NFKC", strip_invisible(key)) if may_hide(key) else key
    words: list[str] = []
    word = ""
    for position, each in enumerate(text):
        if not each.isalnum():
            word = _end(words, word)
            continue
        if word and _is_boundary(word[-1], each, text[position + 1 : position + 2]):
            word = _end(words, word)
        word += each
    _end(words, word)
    return tuple(words)


def _is_boundary(before: str, each: str, after: str) -> bool:
    if before.isdigit() != each.isdigit():
        return True
    return each.isupper() and (before.islower() or (before.isupper() and after.islower()))


def _end(words: list[str], word: str) -> str:
    if word:
        words.append(word.casefold())
    return ""


class NameFilter:
    """Tells from a path of keys whether the value there is a secret.

    filters: words (`email`), several words (`api_key`, also found as `apiKey` and `apikey`), stems (`passw*`,
    `*crypt*`), dotted names for nested paths (`customer.card`), regular expressions between slashes (`/^x-.*$/`).
    """

    def __init__(self, filters: Iterable[str]) -> None:
        self._patterns: list[re.Pattern[str]] = []
        self._parts: list[Callable[[Words], bool]] = []
        self._paths: list[list[Callable[[Words], bool]]] = []
        for each in filters:
            self._add(each)
        self._is_named = lru_cache(maxsize=_CACHED_KEYS)(self._match_name)

    def matches(self, path: Sequence[str]) -> bool:
        """Whether the value at this path of keys, outermost first, is to be hidden. An empty path: no."""
        if not path:
            return False
        if len(path[-1]) > _LONGEST_KEY:
            return True
        if self._is_named(path[-1]):
            return True
        if self._patterns and any(each.search(".".join(path)) for each in self._patterns):
            return True
        return bool(self._paths) and self._match_path(path)

    def _add(self, text: str) -> None:
        if len(text) > 2 and text.startswith("/") and text.endswith("/"):
            try:
                self._patterns.append(re.compile(text[1:-1]))
            except re.error as error:
                raise ConfigurationError(
                    f"filter {text} is no regular expression: {error}",
                    next_step="mend the expression, or write plain words",
                ) from None
            return
        parts = [_part(each) for each in text.split(".")]
        if not all(parts):
            raise ConfigurationError(
                f"filter {text!r} holds no word",
                next_step="write words as `email`, stems as `passw*`, paths as `customer.card`",
            )
        found = [each for each in parts if each is not None]
        if len(found) == 1:
            self._parts.append(found[0])
        else:
            self._paths.append(found)

    def _match_name(self, key: str) -> bool:
        words = split_words(key)
        if any(each(words) for each in self._parts):
            return True
        return bool(self._patterns) and any(each.search(strip_invisible(key)) for each in self._patterns)

    def _match_path(self, path: Sequence[str]) -> bool:
        names = [part for key in path for part in key.split(".")]
        for parts in self._paths:
            below = names[-len(parts) :]
            if len(below) == len(parts) and all(
                part(split_words(name)) for part, name in zip(parts, below, strict=True)
            ):
                return True
        return False


def _part(text: str) -> Callable[[Words], bool] | None:
    if "*" in text:
        stems = ["".join(split_words(each)) for each in text.split("*")]
        if not any(stems):
            return None
        pattern = re.compile(fnmatch.translate("*".join(stems)))
        return lambda words: any(pattern.match(run) for run in _runs(words))
    name = _singular("".join(split_words(text)))
    if not name:
        return None
    return lambda words: any(_singular(run) == name for run in _runs(words))


def _runs(words: Words) -> Iterable[str]:
    """Neighbouring words joined: `api`, `key` and `apikey`."""
    for start in range(len(words)):
        run = ""
        for word in words[start : start + _LONGEST_RUN]:
            run += word
            yield run


def _singular(word: str) -> str:
    return word[:-1] if len(word) > 3 and word.endswith("s") else word
