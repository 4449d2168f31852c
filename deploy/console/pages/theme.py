"""The console's colours, as data: one name, its value in light and in dark, and what must be readable on what.

They are data so that a test can compute every contrast, and so that CSS, the graph and the charts cannot differ. A
state is never told by colour alone: each has a sign (`SIGNS`) and its name beside it.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from tasker_kafka.schemas.words import StepStatus, TaskStatus

__all__ = ["COLOURS", "READABLE", "SIGNS", "Colour", "contrast", "palette_css", "sign_of", "state_class"]


class Colour(NamedTuple):
    """`#rrggbb` in the light and in the dark theme."""

    light: str
    dark: str


COLOURS: Final[dict[str, Colour]] = {
    "page": Colour("#f6f7f9", "#0f1318"),
    "surface": Colour("#ffffff", "#171c23"),
    "raised": Colour("#eef1f5", "#1f2630"),
    "line": Colour("#d5dbe3", "#2e3743"),
    "edge": Colour("#7c8796", "#6f7d8f"),
    "text": Colour("#1a212b", "#e4e9f0"),
    "muted": Colour("#515d6c", "#a3afbe"),
    "link": Colour("#0b57b0", "#86b7ff"),
    "focus": Colour("#0b57b0", "#9cc4ff"),
    "accent": Colour("#0b57b0", "#2463b8"),
    "on-accent": Colour("#ffffff", "#ffffff"),
    "danger": Colour("#b3261e", "#b83a33"),
    "on-danger": Colour("#ffffff", "#ffffff"),
    "waiting-ink": Colour("#4c5665", "#b6c0cd"),
    "waiting-fill": Colour("#eceff3", "#262e39"),
    "queued-ink": Colour("#5b3aa8", "#c9b5ff"),
    "queued-fill": Colour("#efeafc", "#2c2444"),
    "running-ink": Colour("#0b57b0", "#93c2ff"),
    "running-fill": Colour("#e1edfc", "#14304f"),
    "retry-ink": Colour("#7a4a00", "#f5c469"),
    "retry-fill": Colour("#fdf0d3", "#3b2c0d"),
    "done-ink": Colour("#17652c", "#7fd694"),
    "done-fill": Colour("#def3e3", "#14351f"),
    "resolved-ink": Colour("#0d5f63", "#74d3d6"),
    "resolved-fill": Colour("#d9f1f1", "#0f3638"),
    "failed-ink": Colour("#a3211a", "#ff9d94"),
    "failed-fill": Colour("#fce4e2", "#4a1b18"),
    "stopped-ink": Colour("#535353", "#bdbdbd"),
    "stopped-fill": Colour("#e6e6e6", "#303030"),
}

_TONES: Final = ("waiting", "queued", "running", "retry", "done", "resolved", "failed", "stopped")

READABLE: Final[tuple[tuple[str, str], ...]] = (
    *((ink, ground) for ink in ("text", "muted", "link") for ground in ("page", "surface", "raised")),
    *((f"{tone}-ink", f"{tone}-fill") for tone in _TONES),
    *((f"{tone}-ink", "surface") for tone in _TONES),
    *(("text", f"{tone}-fill") for tone in _TONES),
    ("on-accent", "accent"),
    ("on-danger", "danger"),
)
"""(ink, ground): text that stands on a ground somewhere has at least 4.5 : 1 there."""

_TONE_OF: Final[dict[str, str]] = {
    StepStatus.PENDING: "waiting",
    StepStatus.ENQUEUED: "queued",
    StepStatus.IN_PROGRESS: "running",
    StepStatus.WAITING_FOR_RETRY: "retry",
    StepStatus.COMPLETE: "done",
    StepStatus.ERROR: "failed",
    StepStatus.CANCELLED: "stopped",
    StepStatus.RESOLVED_MANUALLY: "resolved",
    TaskStatus.WAITING_FOR_DEPENDENCIES: "queued",
    TaskStatus.BLOCKED_BY_FAILURES: "failed",
}

SIGNS: Final[dict[str, str]] = {
    StepStatus.PENDING: "○",
    StepStatus.ENQUEUED: "◔",
    StepStatus.IN_PROGRESS: "▶",
    StepStatus.WAITING_FOR_RETRY: "↻",
    StepStatus.COMPLETE: "✓",
    StepStatus.ERROR: "✕",
    StepStatus.CANCELLED: "⊘",
    StepStatus.RESOLVED_MANUALLY: "✎",
    TaskStatus.WAITING_FOR_DEPENDENCIES: "◔",
    TaskStatus.BLOCKED_BY_FAILURES: "■",
}
"""Every state's sign: no two states of a task, and no two of a step, share one."""

_CHANNELS: Final = (0.2126, 0.7152, 0.0722)


def state_class(state: str) -> str:
    """The CSS class that gives a state its colours; of an unknown state (a newer engine's), the neutral one."""
    return f"tone-{_TONE_OF.get(state, 'waiting')}"


def sign_of(state: str) -> str:
    """The sign of a state; a question mark for one that this release does not know."""
    return SIGNS.get(state, "?")


def contrast(one: str, other: str) -> float:
    """The contrast ratio of two `#rrggbb` colours, 1 to 21, as WCAG 2 defines it."""
    lighter, darker = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def palette_css() -> str:
    """The colours as CSS variables that follow `color-scheme`, and one class per tone."""
    names = "".join(f"--{name}:light-dark({each.light},{each.dark});" for name, each in COLOURS.items())
    tones = "".join(f".tone-{tone}{{--ink:var(--{tone}-ink);--fill:var(--{tone}-fill)}}" for tone in _TONES)
    return f":root{{{names}}}{tones}"


def _luminance(colour: str) -> float:
    parts = (int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5))
    linear = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return sum(weight * part for weight, part in zip(_CHANNELS, linear, strict=True))
