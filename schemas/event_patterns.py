"""Patterns of event names, as subscribers write them: `payment.charged`, `payment.*`, `orders.**`.

- A name is made of segments joined by dots, and so is a pattern. A word stands for itself.
- `*` stands for exactly one segment, whole: `pay*` is refused, and so is `*` alone, since Tasker's names have a dot.
- `**` stands for the rest, one segment or more, and comes last; alone it is every event.

No segment is ever looked at twice, so matching is linear in the name, however hostile the name is. Names are
compared as they are: Tasker's are small letters, foreign ones (the `type` of CloudEvents) are anything.

System events (`task.completed`, `step.failed`) are telemetry and never travel as domain events. A subscription to
one would wait for ever, so it is refused with what to declare instead.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

import msgspec

from .errors import ConfigurationError
from .words import RESERVED_EVENT_PREFIXES

__all__ = ["EventPattern", "EventPatterns", "parse_pattern", "parse_patterns"]

_ONE: Final = "*"
_REST: Final = "**"
_WORD: Final = re.compile(r"[^\s.*\x00-\x1f\x7f]+")
_LONGEST: Final = 256
_MOST_REMEMBERED: Final = 4096
"""Names whose answer is kept: a topic has few, and a hostile one must not fill the memory."""

_TASK_CONDITIONS: Final = {
    "completed": "completed",
    "failed": "failed",
    "cancelled": "cancelled",
    "blocked_by_failures": "blocked",
    "resolved_manually": "resolved_manually",
}
_STEP_CONDITIONS: Final = {"completed": "success", "failed": "failure"}
"""Last segment of a system event → the condition of the domain event that says the same."""


class EventPattern(msgspec.Struct, frozen=True):
    """One pattern, made by `parse_pattern`; `str()` gives it as it was written."""

    text: str
    segments: tuple[str, ...]
    """Without a last `**`."""
    is_open: bool
    """It ended in `**`."""

    @property
    def is_exact(self) -> bool:
        """It names one event."""
        return not self.is_open and _ONE not in self.segments

    @property
    def words(self) -> tuple[str, ...]:
        """Its segments that stand for themselves."""
        return tuple(each for each in self.segments if each != _ONE)

    def matches(self, name: str) -> bool:
        """Whether the event of this name is meant."""
        found = name.split(".")
        count = len(self.segments)
        if len(found) <= count if self.is_open else len(found) != count:
            return False
        return all(wanted in (_ONE, each) for wanted, each in zip(self.segments, found[:count], strict=True))

    def __str__(self) -> str:
        return self.text


class EventPatterns:
    """Several patterns, one of which must fit. Answers are remembered by name."""

    __slots__ = ("_answers", "_exact", "_wild", "patterns")

    def __init__(self, patterns: Iterable[EventPattern]) -> None:
        self.patterns = tuple(patterns)
        self._exact = frozenset(each.text for each in self.patterns if each.is_exact)
        self._wild = tuple(each for each in self.patterns if not each.is_exact)
        self._answers: dict[str, bool] = {}

    def matches(self, name: str) -> bool:
        """Whether one of them means the event of this name."""
        if name in self._exact:
            return True
        if not self._wild:
            return False
        answer = self._answers.get(name)
        if answer is None:
            answer = any(each.matches(name) for each in self._wild)
            if len(self._answers) < _MOST_REMEMBERED:
                self._answers[name] = answer
        return answer


def parse_pattern(text: str, *, is_foreign: bool = False) -> EventPattern:
    """The pattern of this text. ConfigurationError says what is wrong with it, and what to write.

    is_foreign: the events are others', not Tasker's, so that no name is reserved
    """
    if not text or len(text) > _LONGEST:
        raise ConfigurationError(
            f"the event pattern {text[:40]!r} has {len(text)} characters, allowed are 1 to {_LONGEST}",
            next_step="name an event, as `payment.charged`, or several: `payment.*`, `orders.**`, `**`",
        )
    if text == _ONE and not is_foreign:
        raise _refusal(
            text, "`*` stands for one segment, and names have several", "write `**` for every event"
        )
    *head, last = text.split(".")
    is_open = last == _REST
    segments = tuple(head) if is_open else (*head, last)
    for segment in segments:
        _check_segment(text, segment)
    if not is_foreign and segments and segments[0] in RESERVED_EVENT_PREFIXES:
        raise _system_event(text, segments)
    return EventPattern(text, segments, is_open)


def parse_patterns(texts: Iterable[str], *, is_foreign: bool = False) -> EventPatterns:
    """As `parse_pattern`, of several. ConfigurationError also when there is none."""
    patterns = [parse_pattern(each, is_foreign=is_foreign) for each in dict.fromkeys(texts)]
    if not patterns:
        raise ConfigurationError(
            "a subscription names no event",
            next_step="give at least one pattern, as `payment.charged` or `**`",
        )
    return EventPatterns(patterns)


def _check_segment(text: str, segment: str) -> None:
    if segment == _ONE or _WORD.fullmatch(segment):
        return
    if not segment:
        raise _refusal(text, "a segment is empty", "write one dot between two segments, none at the ends")
    if segment == _REST:
        raise _refusal(text, "`**` stands for the rest of a name", "put it last: `orders.**`")
    if _ONE in segment:
        raise _refusal(
            text,
            f"`*` stands for a whole segment, not for a part as in `{segment}`",
            "name the events one by one",
        )
    raise _refusal(text, f"the segment {segment!r} holds a space or control character", "take it out")


def _refusal(text: str, why: str, way_out: str) -> ConfigurationError:
    return ConfigurationError(f"the event pattern {text!r} is not allowed: {why}", next_step=way_out)


def _system_event(text: str, segments: tuple[str, ...]) -> ConfigurationError:
    """Names under `task.`, `step.`, `workflow.` and `system.` are not for subscribers."""
    head, last = segments[0], segments[-1]
    if head == "step":
        condition = _STEP_CONDITIONS.get(last, "success")
        place = "the step's `publishes_events`"
    else:
        condition = _TASK_CONDITIONS.get(last, "completed")
        place = "the template's own `publishes_events`"
    return ConfigurationError(
        f"{text!r} means system events: names under `{head}.` are telemetry, which reaches OpenTelemetry and the "
        "read side and no subscriber",
        next_step=f"declare a domain event under {place} with `condition: {condition}` and subscribe to its name",
    )
