"""Kept versions of event schemas: read, compared with what templates declare, and added to.

They lie in `<folder>/<namespace>/<event>/<version>.json`, one JSON Schema each (`true` for an event without one), and
are committed beside the templates. A kept file is never changed: others have read events by it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from tasker_kafka.schemas.errors import ConfigurationError
from tasker_kafka.schemas.event_compatibility import find_clashes, is_same_contract, version_key
from tasker_kafka.schemas.findings import Finding, path_text
from tasker_kafka.schemas.json_strict import InvalidJson, decode_json
from tasker_kafka.schemas.limits import TEMPLATE_BYTES
from tasker_kafka.schemas.plan import EventDeclaration, Plan
from tasker_kafka.schemas.schema_check import check_schema
from tasker_kafka.schemas.schema_walk import Schema

__all__ = ["EventKey", "SchemaCheck", "check_events", "declared_events", "write_versions"]

EventKey = tuple[str, str]
"""Namespace and name."""
_VERSION: Final = re.compile(r"[0-9]{1,6}(\.[0-9]{1,6}){0,2}")
_WAY_OUT: Final = "make the change one that older events survive, or publish it under a new event name"


@dataclass
class SchemaCheck:
    """What a check found, and which versions are declared but not kept."""

    findings: list[Finding] = field(default_factory=list)
    missing: dict[Path, Schema | None] = field(default_factory=dict)
    """File → what it is to hold."""
    checked: int = 0
    """Versions that were compared with the others of their event."""

    @property
    def has_errors(self) -> bool:
        """Whether something must be mended, files that are only missing aside."""
        return any(each.severity == "error" and each.code != "not_kept" for each in self.findings)


@dataclass(frozen=True)
class _Version:
    version: str
    schema: Schema | None
    source: str


def declared_events(
    plans: Mapping[Path, Sequence[Plan]],
) -> Iterator[tuple[str, EventDeclaration, str]]:
    """Every declared event of these plans: namespace, declaration and where it stands."""
    for file, each in plans.items():
        for plan in each:
            for step in plan.steps:
                for declared in step.publishes_events:
                    yield plan.namespace, declared, f"{file} (step {step.name})"
            for declared in plan.publishes_events:
                yield plan.namespace, declared, f"{file} (the task)"


def check_events(
    declared: Iterable[tuple[str, EventDeclaration, str]],
    folder: Path,
    *,
    is_open: bool = False,
    is_undecided_allowed: bool = False,
) -> SchemaCheck:
    """Compare what is declared with what is kept below `folder`, and every version of an event with its others."""
    check = SchemaCheck()
    kept = _kept(folder, check.findings)
    for namespace, event, source in declared:
        versions = kept.setdefault((namespace, event.name), {})
        number = version_key(event.version)
        known = versions.get(number)
        if known is None:
            file = folder / namespace / event.name / f"{event.version}.json"
            versions[number] = _Version(event.version, event.schema, source)
            check.missing[file] = event.schema
            message = f"version {event.version} of {event.name} is not kept: `tasker schemas check --write` keeps it"
            check.findings.append(Finding(code="not_kept", path="", message=message, source=source))
        elif not is_same_contract(known.schema, event.schema):
            message = (
                f"version {event.version} of {event.name} is another schema than in {known.source}: "
                "raise its `version`"
            )
            check.findings.append(Finding(code="changed_version", path="", message=message, source=source))
    for key, versions in kept.items():
        check.checked += len(versions)
        check.findings += _clashes(key, versions.values(), is_open, is_undecided_allowed)
    return check


def write_versions(check: SchemaCheck) -> list[Path]:
    """Write the files that are missing. Their paths."""
    for file, schema in check.missing.items():
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            shown = json.dumps(True if schema is None else schema, indent=2, ensure_ascii=False)
            with file.open("x", encoding="utf-8", newline="\n") as opened:
                opened.write(shown + "\n")
        except OSError as error:
            raise ConfigurationError(
                f"{file} cannot be written: {error.strerror}",
                next_step="Check the folder's rights and space.",
            ) from None
    return list(check.missing)


def _clashes(
    key: EventKey, versions: Iterable[_Version], is_open: bool, is_undecided_allowed: bool
) -> Iterator[Finding]:
    sources = {each.version: each.source for each in versions}
    for clash in find_clashes({each.version: each.schema for each in versions}, is_open=is_open):
        is_warning = is_undecided_allowed and not clash.is_certain
        yield Finding(
            code="incompatible" if clash.is_certain else "undecided",
            path="",
            message=f"{'.'.join(key)}: {clash} — {_WAY_OUT}",
            source=sources[clash.newer],
            severity="warning" if is_warning else "error",
        )


def _kept(folder: Path, findings: list[Finding]) -> dict[EventKey, dict[tuple[int, ...], _Version]]:
    found: dict[EventKey, dict[tuple[int, ...], _Version]] = {}
    for file in sorted(folder.rglob("*")) if folder.is_dir() else []:
        if file.is_dir():
            continue
        place = file.relative_to(folder)
        if len(place.parts) != 3 or file.suffix != ".json" or not _VERSION.fullmatch(file.stem):
            message = "is no kept schema: these are NAMESPACE/EVENT/VERSION.json, as payments/payment.charged/1.0.json"
            findings.append(Finding(code="odd_file", path="", message=message, source=str(file)))
            continue
        versions = found.setdefault((place.parts[0], place.parts[1]), {})
        number = version_key(file.stem)
        if number in versions:
            message = f"is the same version as {versions[number].source}: keep the one that was released"
            findings.append(Finding(code="same_version", path="", message=message, source=str(file)))
            continue
        content = _content(file, findings)
        if content is not False:
            versions[number] = _Version(file.stem, None if content is True else content, str(file))
    return found


def _content(file: Path, findings: list[Finding]) -> Any:
    """The schema; True for any payload; False when the file cannot be used, which is noted."""
    try:
        value = decode_json(file.read_bytes(), max_bytes=TEMPLATE_BYTES.maximum, what="the schema")
    except (InvalidJson, OSError) as error:
        message = error.message if isinstance(error, InvalidJson) else f"cannot be read: {error.strerror}"
        findings.append(Finding(code="unreadable_schema", path="", message=message, source=str(file)))
        return False
    if value is True:
        return True
    faults = check_schema(value)
    findings += [
        Finding(code=each.code, path=path_text(each.path), message=each.message, source=str(file))
        for each in faults
    ]
    return False if faults else value
