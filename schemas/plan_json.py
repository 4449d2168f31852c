"""Plans as the log holds them: canonical JSON, named by its hash; and the order of a template's versions."""

from __future__ import annotations

import hashlib
import re
from typing import Final

import msgspec

from .errors import DecodeError, SchemaUnknown
from .plan import Plan

__all__ = ["VersionKey", "decode_plan", "version_key"]

VersionKey = tuple[tuple[int, ...], int, tuple[tuple[int, int, str], ...]]

_NUMBERS: Final = re.compile(r"\d+(\.\d+)*")


def decode_plan(data: bytes, plan_hash: bytes) -> Plan:
    """The plan in this JSON, keeping the hash of the very bytes: a later release, whose plans have further
    fields, must not name it otherwise.

    DecodeError when the JSON has another hash; SchemaUnknown when it has fields or values of a newer release.
    """
    if hashlib.sha256(data).digest() != plan_hash:
        raise DecodeError(f"the plan under {plan_hash.hex()} has another hash: its record is damaged")
    try:
        plan = msgspec.json.decode(data, type=Plan)
    except msgspec.ValidationError as error:
        raise SchemaUnknown(
            f"plan {plan_hash.hex()[:12]} is of a form that this release does not know: {error}",
            next_step="upgrade this process to the release that published the template",
        ) from None
    except msgspec.DecodeError as error:
        raise DecodeError(f"plan {plan_hash.hex()[:12]} is no JSON: {error}") from None
    msgspec.structs.force_setattr(plan, "hash", plan_hash)  # fills the cached property
    return plan


def version_key(version: str) -> VersionKey:
    """Sorts versions by number, as semantic versioning says: 1.10.0 after 1.9.0, and 1.0.0 after 1.0.0-rc.1."""
    release, _, rest = version.partition("+")[0].partition("-")
    numbers = tuple(int(each) for each in release.split(".")) if _NUMBERS.fullmatch(release) else ()
    parts = tuple(
        (0, int(each), "") if each.isascii() and each.isdigit() else (1, 0, each)
        for each in rest.split(".")
        if rest
    )
    return numbers, 0 if rest else 1, parts
