"""Hides secrets wherever people or tools look: logs, spans, system events, DLQ views, API, console, errors.

Two nets: keys that are named like secrets (`redaction_names`), and text that looks like one (`redaction_values`).
What the filter cannot handle is masked whole: it may hide too much, and never shows because it failed.
"""

from __future__ import annotations

import json
import traceback
from collections.abc import Callable, Iterable, Mapping, Set
from dataclasses import fields, is_dataclass
from enum import Enum
from functools import lru_cache
from typing import Any, Final, cast

import msgspec

from .limits import TRACEBACK_BYTES
from .redaction_names import NameFilter, may_hide, strip_invisible
from .redaction_values import is_card_number, mask_secrets

__all__ = [
    "DEFAULT_FILTERS",
    "DEFAULT_MASK",
    "ENVELOPE_FIELDS",
    "Redactor",
    "current_redactor",
    "redact",
    "redact_exception",
    "redact_text",
    "use_redactor",
]

DEFAULT_MASK: Final = "[FILTERED]"
DEFAULT_FILTERS: Final = (
    "passw*",
    "email",
    "secret",
    "token",
    "api_key",
    "private_key",
    "access_key",
    "*crypt*",
    "salt",
    "certificate",
    "otp",
    "ssn",
)
# fmt: off
ENVELOPE_FIELDS: Final = frozenset({
    "at", "attempt", "base", "causation_id", "ce_id", "ce_source", "ce_subject", "ce_time", "ce_type", "command_id",
    "command_offset", "condition", "correlation_id", "created_at", "delivery", "dispatched_at", "environment",
    "event", "event_id", "finished_at", "fired_at", "fired_by", "from_state", "group", "handler",
    "idempotency_key", "identity", "key", "level", "life", "name", "namespace", "next_retry_at", "offset",
    "outcome", "owner", "partition", "plan_hash", "position", "queue", "request_id", "requested_at", "seq", "source",
    "span_id", "started_at", "state", "status", "step", "step_id", "step_name", "step_names", "task_id", "template",
    "template_version", "time", "timestamp", "to_state", "topic", "trace_id", "traceparent", "type", "version",
    "worker_id",
})
# fmt: on
"""Fields of our own records, which no name filter hides: `name` must not hide which step failed."""

_MIN_CARD: Final = 10**12
_MAX_CARD: Final = 10**19
_CACHED_KEYS: Final = 4_096
_LONGEST_NAME: Final = 256
"""In a text: where a name begins is a guess there, and what makes it a secret's stands at its end."""
_LARGEST_JSON: Final = 256 * 1024
_Keys = tuple[str, ...]


class Redactor:
    """Hides by the given filters; see `redaction_names.NameFilter` for how they are written. Thread-safe."""

    def __init__(
        self, filter_parameters: Iterable[str] = DEFAULT_FILTERS, filter_mask: str = DEFAULT_MASK
    ) -> None:
        self.mask = filter_mask
        self._names = NameFilter(filter_parameters)
        self._shown_key = lru_cache(maxsize=_CACHED_KEYS)(lambda key: self._text(key, ()))

    def redact(self, value: Any, *, envelope: bool = False) -> Any:
        """A copy that may be shown: mappings and lists of plain values, whatever the value was made of.

        envelope: the value is one of our records; its own fields (`ENVELOPE_FIELDS`) are not hidden for their names.
        """
        try:
            return self._value(value, (), envelope)
        except Exception:
            return self.mask

    def redact_text(self, text: str) -> str:
        """The text with secrets replaced."""
        try:
            return self._text(text, ())
        except Exception:
            return self.mask

    def redact_exception(self, error: BaseException, *, max_bytes: int = TRACEBACK_BYTES.maximum) -> str:
        """The traceback of an exception, secrets replaced, its end kept if it is longer than `max_bytes`."""
        try:
            text = "".join(traceback.format_exception(error))
        except Exception:
            return self.mask
        data = self.redact_text(text).encode("utf-8", "replace")
        return data[-max_bytes:].decode("utf-8", "ignore")

    def _value(self, value: Any, path: _Keys, envelope: bool = False) -> Any:
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, str) and not isinstance(value, Enum):
            return self._text(value, path)
        if isinstance(value, (int, float)):
            return self.mask if _MIN_CARD <= value <= _MAX_CARD and is_card_number(f"{value:.0f}") else value
        if isinstance(value, Mapping):
            return self._mapping(value, path, envelope)
        if isinstance(value, (list, tuple, Set)):
            return [self._value(each, path) for each in value]
        return self._object(value, path, envelope)

    def _mapping(self, value: Mapping[Any, Any], path: _Keys, envelope: bool) -> dict[Any, Any]:
        found: dict[Any, Any] = {}
        for key, each in value.items():
            name = key if isinstance(key, str) else str(key)
            below = (*path, name)
            shown = self._shown_key(key) if isinstance(key, str) else key
            while shown in found:
                shown = f"{shown}'"
            is_own = envelope and name in ENVELOPE_FIELDS
            is_hidden = each is not None and not is_own and self._names.matches(below)
            found[shown] = self.mask if is_hidden else self._value(each, below)
        return found

    def _object(self, value: Any, path: _Keys, envelope: bool) -> Any:
        if isinstance(value, Enum):
            return self._value(value.value, path)
        if isinstance(value, (bytes, bytearray)):
            return self._bytes(bytes(value), path)
        if isinstance(value, msgspec.Struct):
            given = msgspec.structs.asdict(value)
            return self._mapping(
                {name: each for name, each in given.items() if each is not msgspec.UNSET}, path, envelope
            )
        if is_dataclass(value) and not isinstance(value, type):
            return self._mapping(
                {each.name: getattr(value, each.name) for each in fields(value)}, path, envelope
            )
        if isinstance(value, BaseException):
            return self._text(f"{type(value).__name__}: {value}", path)
        dump = getattr(value, "model_dump", None)
        if dump is not None and not isinstance(value, type):
            return self._mapping(cast("Callable[[], dict[str, Any]]", dump)(), path, envelope)
        return self._text(repr(value), path)

    def _bytes(self, value: bytes, path: _Keys) -> bytes:
        # Bytes that are no UTF-8 become characters that belong to no word, and come back as they were.
        return self._text(value.decode("utf-8", "surrogateescape"), path).encode("utf-8", "surrogateescape")

    def _text(self, text: str, path: _Keys) -> str:
        if len(text) < 5:
            return text
        if text[0] in "{[" and len(text) <= _LARGEST_JSON:
            structured = self._json(text, path)
            if structured is not None:
                return structured
        found = mask_secrets(text, self._hides, self.mask)
        if may_hide(text) and (visible := strip_invisible(text)) != text:
            cleaned = mask_secrets(visible, self._hides, self.mask)
            return cleaned if cleaned != visible else found
        return found

    def _hides(self, name: str) -> bool:
        return self._names.matches(tuple(name[-_LONGEST_NAME:].split(".")))

    def _json(self, text: str, path: _Keys) -> str | None:
        """JSON inside a text is read, so that nested names count; None if it is none, or there is nothing to hide."""
        try:
            value = json.loads(text)
        except (ValueError, RecursionError):
            return None
        shown = self._value(value, path)
        return None if shown == value else json.dumps(shown, ensure_ascii=False)


_current = Redactor()


def use_redactor(redactor: Redactor) -> None:
    """Make this the process's redactor; each role does so with its settings before it says anything."""
    global _current  # noqa: PLW0603 - one filter for every exit of the process, set once at start
    _current = redactor


def current_redactor() -> Redactor:
    """The process's redactor."""
    return _current


def redact(value: Any, *, envelope: bool = False) -> Any:
    """`Redactor.redact` of the process's redactor."""
    return _current.redact(value, envelope=envelope)


def redact_text(text: str) -> str:
    """`Redactor.redact_text` of the process's redactor."""
    return _current.redact_text(text)


def redact_exception(error: BaseException, *, max_bytes: int = TRACEBACK_BYTES.maximum) -> str:
    """`Redactor.redact_exception` of the process's redactor."""
    return _current.redact_exception(error, max_bytes=max_bytes)
