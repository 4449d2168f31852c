"""The JSON form of what is read: the shapes that `--json` and the API promise.

One rule for all of them: field names as in the structs; ids are UUID text, hashes hexadecimal, times (fields named
`at` or `…_at`) RFC 3339 text in UTC with milliseconds.
"""

from __future__ import annotations

from datetime import UTC, datetime
from enum import Enum
from typing import Any

import msgspec

from tasker_kafka.schemas.identity import format_id

__all__ = ["jsonable", "time_text"]

ID_BYTES = 16


def jsonable(value: Any) -> Any:
    """A struct, or lists and mappings of them, as JSON values."""
    if isinstance(value, msgspec.Struct):
        names = zip(value.__struct_fields__, value.__struct_encode_fields__, strict=True)
        fields = ((shown, getattr(value, name)) for name, shown in names)
        return {shown: _field(shown, each) for shown, each in fields if each is not msgspec.UNSET}
    if isinstance(value, bytes):
        return format_id(value) if len(value) == ID_BYTES else value.hex()
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, list | tuple):
        return [jsonable(each) for each in value]
    if isinstance(value, dict):
        return {str(key): jsonable(each) for key, each in value.items()}
    return value


def time_text(at: int) -> str:
    """Milliseconds since 1970 as `2026-01-31T09:30:00.000Z`; as they are where there is no such year."""
    try:
        moment = datetime.fromtimestamp(at / 1000, tz=UTC)
    except (ValueError, OverflowError, OSError):
        return f"{at} ms"
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _field(name: str, value: Any) -> Any:
    if isinstance(value, int) and (name == "at" or name.endswith("_at")):
        return time_text(value)
    return jsonable(value)
