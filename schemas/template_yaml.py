"""Reads YAML into plain JSON values, and remembers on which line each stands.

PyYAML's safe loader is not safe enough for text that people publish: aliases multiply (billion laughs), the last
of two equal keys wins silently, `no`, `on` and `1:30` become booleans and numbers, dates become objects. So the
events of its parser are put together here: scalars by the core schema of YAML 1.2, no aliases, no tags, no
merge keys, text keys only, and limits on size and depth that are checked while reading.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import Any, Final

import msgspec
import yaml

from .findings import Fault, Path
from .limits import TEMPLATE_BYTES, TEMPLATE_DEPTH

__all__ = ["Document", "InvalidYaml", "PlainText", "Scalar", "read_yaml", "resolve_scalar"]

Scalar = None | bool | int | float | str

_NULL: Final = frozenset({"", "~", "null", "Null", "NULL"})
_BOOLEANS: Final = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_INTEGER: Final = re.compile(r"[-+]?[0-9]+")
_OCTAL: Final = re.compile(r"0o[0-7]+")
_HEXADECIMAL: Final = re.compile(r"0x[0-9a-fA-F]+")
_FLOAT: Final = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_NOT_A_NUMBER: Final = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_LONGEST_NUMBER: Final = 64
_STANDARD_TAG: Final = "tag:yaml.org,2002:"
_TEXT_TAGS: Final = frozenset({"!", f"{_STANDARD_TAG}str"})
_CONTAINER_TAGS: Final = frozenset({"!", f"{_STANDARD_TAG}map", f"{_STANDARD_TAG}seq"})

_LOADER: Final[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""The C parser where PyYAML has it: 1 MiB in 1 s instead of 20."""


class PlainText(str):
    """Text that stood without quotes, so that what a variable puts into it may become a number or a boolean."""

    __slots__ = ()


class InvalidYaml(Exception):
    """The text is refused; `fault` says why and where, `line` in which line (from 1)."""

    def __init__(self, fault: Fault, line: int | None) -> None:
        self.fault = fault
        self.line = line
        super().__init__(fault.message)


class _Lines(msgspec.Struct):
    """The line of a value, and below it those of its entries (an entry's line is its key's)."""

    line: int
    entries: dict[str | int, _Lines] = {}


class Document(msgspec.Struct, frozen=True):
    """One YAML document as a JSON value."""

    value: Any
    lines: _Lines

    def line_of(self, path: Path) -> int:
        """The line of the value at `path`, or of the nearest one above it that is there."""
        found = self.lines
        for item in path:
            if item not in found.entries:
                break
            found = found.entries[item]
        return found.line


class _Frame(msgspec.Struct):
    """A container under construction."""

    value: dict[str, Any] | list[Any]
    lines: _Lines
    path: Path
    key: str | None = None
    key_line: int = 0


def read_yaml(text: str) -> list[Document]:
    """Every document of the text. InvalidYaml for the first fault: what is wrong after it cannot be known."""
    _check_text(text)
    try:
        return [*_documents(yaml.parse(text, Loader=_LOADER))]
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        problem = " ".join(each for each in (error.context, error.problem) if each)
        raise InvalidYaml(
            Fault((), "not_yaml", f"not YAML: {problem}"), mark.line + 1 if mark else None
        ) from None
    except (yaml.YAMLError, ValueError, OverflowError, RecursionError) as error:
        raise InvalidYaml(Fault((), "not_yaml", f"not YAML: {error}"), None) from None


def resolve_scalar(text: str) -> Scalar:
    """What a scalar without quotes means by the core schema of YAML 1.2. ValueError if JSON has no such value."""
    if text in _NULL:
        return None
    if text in _BOOLEANS:
        return _BOOLEANS[text]
    if text[0] not in "+-.0123456789":
        return text
    return _resolve_number(text)


def _resolve_number(text: str) -> Scalar:
    if _NOT_A_NUMBER.fullmatch(text):
        raise ValueError(f"{text} is not a number that JSON has; leave it out or quote it")
    number: int | float
    if not (_INTEGER.fullmatch(text) or _OCTAL.fullmatch(text) or _HEXADECIMAL.fullmatch(text)):
        if not _FLOAT.fullmatch(text):
            return text
        number = float(text)
    elif len(text) > _LONGEST_NUMBER:
        raise ValueError("the number is too long; quote it if it is text")
    else:
        number = int(text, 0) if text[1:2] in {"o", "x"} else int(text)
    if not math.isfinite(number) or (isinstance(number, int) and not -(2**63) <= number < 2**64):
        raise ValueError("the number does not fit into 64 bits; quote it if it is text")
    return number


def _check_text(text: str) -> None:
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        raise InvalidYaml(Fault((), "not_utf8", "half of a surrogate pair is no character"), None) from None
    if TEMPLATE_BYTES.is_exceeded(size):
        message = f"{TEMPLATE_BYTES.message(size)}: {TEMPLATE_BYTES.way_out}"
        raise InvalidYaml(Fault((), TEMPLATE_BYTES.error, message), None)


def _documents(events: Iterator[Any]) -> Iterator[Document]:
    frames: list[_Frame] = []
    for event in events:
        finished: tuple[Any, _Lines] | None = None
        line = event.start_mark.line + 1
        place = _next_path(frames)
        if isinstance(event, yaml.AliasEvent):
            raise InvalidYaml(
                Fault(place, "alias", "aliases (`*name`) are not supported: write the value out"), line
            )
        if isinstance(event, (yaml.MappingStartEvent, yaml.SequenceStartEvent)):
            frames.append(_open(event, frames, place, line))
        elif isinstance(event, (yaml.MappingEndEvent, yaml.SequenceEndEvent)):
            frame = frames.pop()
            finished = frame.value, frame.lines
        elif isinstance(event, yaml.ScalarEvent):
            if frames and isinstance(frames[-1].value, dict) and frames[-1].key is None:
                _take_key(frames[-1], event, line)
            else:
                finished = _scalar(event, place, line), _Lines(line)
        if finished is not None and frames:
            _add(frames[-1], *finished)
        elif finished is not None:
            yield Document(*finished)


def _next_path(frames: list[_Frame]) -> Path:
    """Where the next value goes."""
    if not frames:
        return ()
    frame = frames[-1]
    if isinstance(frame.value, list):
        return (*frame.path, len(frame.value))
    return frame.path if frame.key is None else (*frame.path, frame.key)


def _open(event: Any, frames: list[_Frame], place: Path, line: int) -> _Frame:
    if frames and isinstance(frames[-1].value, dict) and frames[-1].key is None:
        raise InvalidYaml(Fault(place, "bad_key", "a key must be text, not a list or mapping"), line)
    if event.tag is not None and event.tag not in _CONTAINER_TAGS:
        raise _tag_error(event, place, line)
    depth = len(frames) + 1
    if TEMPLATE_DEPTH.is_exceeded(depth):
        message = f"{TEMPLATE_DEPTH.message(depth)}: {TEMPLATE_DEPTH.way_out}"
        raise InvalidYaml(Fault(place, TEMPLATE_DEPTH.error, message), line)
    is_mapping = isinstance(event, yaml.MappingStartEvent)
    return _Frame({} if is_mapping else [], _Lines(line), place)


def _take_key(frame: _Frame, event: Any, line: int) -> None:
    key = _scalar(event, frame.path, line)
    if not isinstance(key, str):
        raise InvalidYaml(Fault(frame.path, "bad_key", f"the key {event.value} must be text: quote it"), line)
    if event.implicit[0] and key == "<<":
        raise InvalidYaml(
            Fault(frame.path, "merge_key", "merge keys (`<<`) are not supported: write it out"), line
        )
    if key in frame.value:
        first = frame.lines.entries[key].line
        message = f"the key is there twice, first in line {first}"
        raise InvalidYaml(Fault((*frame.path, str(key)), "duplicate_key", message), line)
    frame.key, frame.key_line = str(key), line


def _add(frame: _Frame, value: Any, lines: _Lines) -> None:
    if isinstance(frame.value, list):
        frame.lines.entries[len(frame.value)] = lines
        frame.value.append(value)
    elif frame.key is not None:
        frame.value[frame.key] = value
        frame.lines.entries[frame.key] = _Lines(frame.key_line, lines.entries)
        frame.key = None


def _scalar(event: Any, place: Path, line: int) -> Scalar:
    is_plain, _ = event.implicit
    if event.tag is not None and event.tag not in _TEXT_TAGS:
        raise _tag_error(event, place, line)
    if not is_plain or event.tag is not None:
        return str(event.value)
    try:
        value = resolve_scalar(event.value)
    except ValueError as error:
        raise InvalidYaml(Fault(place, "bad_number", str(error)), line) from None
    return PlainText(value) if isinstance(value, str) and "${" in value else value


def _tag_error(event: Any, place: Path, line: int) -> InvalidYaml:
    tag = event.tag.removeprefix(_STANDARD_TAG)[:64]
    return InvalidYaml(Fault(place, "tag", f"the tag `{tag}` is not supported: write a plain value"), line)
