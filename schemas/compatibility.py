"""Whether every release reads what any other wrote: FULL_TRANSITIVE, checked against the committed files.

Run as `python -m tasker_kafka.schemas.compatibility`: prints every break and ends with 1 if there is one. With
`--release VERSION` it keeps the current files as that release's, for ever.

The rules are those of Avro's schema resolution, applied in both directions to each pair of a released version and the
current one (any two releases were compared when the later of them was released). Domain events need only be
readable by newer readers; they are held to the stricter rule all the same, because they share this language.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from .avro_files import current, fingerprint, released, text_of

__all__ = ["Break", "find_breaks", "find_unreadable", "keep_release", "main"]

_PROMOTIONS: Final = {
    "int": {"long", "float", "double"},
    "long": {"float", "double"},
    "float": {"double"},
    "string": {"bytes"},
    "bytes": {"string"},
}
"""Writer's type → further types that a reader may read it as."""


class Break(msgspec.Struct, frozen=True):
    """A place where a reader cannot read what a writer wrote."""

    writer: str
    reader: str
    place: str
    reason: str

    def __str__(self) -> str:
        return f"{self.reader} cannot read what {self.writer} wrote: {self.place}: {self.reason}"


def find_breaks(
    versions: Mapping[str, Mapping[str, Any]], newest: Mapping[str, Any], name: str = "this release"
) -> list[Break]:
    """Every break between each version's schemas (by record name) and the newest, in both directions."""
    found: list[Break] = []
    for version, schemas in sorted(versions.items()):
        for record, old in schemas.items():
            if record not in newest:
                found.append(Break(version, name, record, "the record is gone; its topics still hold it"))
                continue
            new = newest[record]
            found += [Break(version, name, *each) for each in find_unreadable(old, new)]
            found += [Break(name, version, *each) for each in find_unreadable(new, old)]
    return found


def find_unreadable(writer: Any, reader: Any) -> list[tuple[str, str]]:
    """Place and reason of everything in the writer's schema that the reader's cannot read."""
    return list(dict.fromkeys(_Resolution(writer, reader).compare(writer, reader, "")))


class _Resolution:
    """Avro's schema resolution of one pair of schemas."""

    def __init__(self, writer: Any, reader: Any) -> None:
        self._writer_names = dict(_named(writer))
        self._reader_names = dict(_named(reader))

    def compare(self, writer: Any, reader: Any, place: str) -> Iterator[tuple[str, str]]:
        writer, reader = self._full(writer, self._writer_names), self._full(reader, self._reader_names)
        written, read = _kind(writer), _kind(reader)
        if written == "union":
            for branch in writer:
                yield from self.compare(branch, reader, place)
        elif read == "union":
            yield from self._against_union(writer, reader, place)
        elif written != read:
            if read not in _PROMOTIONS.get(written, ()):
                yield place, f"{written} is not {read}"
        elif written in {"record", "enum", "fixed"} and _short(writer) != _short(reader):
            yield place, f"{_short(writer)} is not {_short(reader)}"
        else:
            yield from self._same_kind(written, writer, reader, place)

    def _same_kind(self, kind: str, writer: Any, reader: Any, place: str) -> Iterator[tuple[str, str]]:
        if kind == "record":
            yield from self._records(writer, reader, place or _short(writer))
        elif kind == "enum":
            missing = [each for each in writer["symbols"] if each not in reader["symbols"]]
            if missing and "default" not in reader:
                yield place, f"symbols {', '.join(missing)} are unknown, and there is no default"
        elif kind == "fixed" and writer["size"] != reader["size"]:
            yield place, f"{writer['size']} bytes are not {reader['size']}"
        elif kind == "array":
            yield from self.compare(writer["items"], reader["items"], f"{place}[]")
        elif kind == "map":
            yield from self.compare(writer["values"], reader["values"], f"{place}{{}}")

    def _records(self, writer: Any, reader: Any, place: str) -> Iterator[tuple[str, str]]:
        written = {field["name"]: field for field in writer["fields"]}
        for field in reader["fields"]:
            inside = f"{place}.{field['name']}"
            if field["name"] in written:
                yield from self.compare(written[field["name"]]["type"], field["type"], inside)
            elif "default" not in field:
                yield inside, "the field is not written, and it has no default"

    def _against_union(self, writer: Any, reader: list[Any], place: str) -> Iterator[tuple[str, str]]:
        """The first branch that can read it will; what is wrong with a record of the same name is worth telling."""
        tries = [(branch, list(self.compare(writer, branch, place))) for branch in reader]
        if all(faults for _, faults in tries):
            for branch, faults in tries:
                full = self._full(branch, self._reader_names)
                if _kind(full) == _kind(writer) == "record" and _short(full) == _short(writer):
                    yield from faults
                    return
            yield place, f"no branch reads {_short(writer) if isinstance(writer, dict) else writer}"

    @staticmethod
    def _full(schema: Any, names: Mapping[str, Any]) -> Any:
        if isinstance(schema, str):
            return names.get(schema.rpartition(".")[2], schema)
        if isinstance(schema, dict) and "name" not in schema and schema["type"] not in {"array", "map"}:
            return schema["type"]
        return schema


def _kind(schema: Any) -> str:
    if isinstance(schema, str):
        return schema
    return "union" if isinstance(schema, list) else str(schema["type"])


def _short(schema: Any) -> str:
    return str(schema["name"]).rpartition(".")[2]


def _named(schema: Any) -> Iterator[tuple[str, Any]]:
    """Every named type that is defined somewhere in a schema."""
    if isinstance(schema, list):
        for each in schema:
            yield from _named(each)
    elif isinstance(schema, dict):
        if "name" in schema:
            yield _short(schema), schema
        for field in schema.get("fields", ()):
            yield from _named(field["type"])
        for key in ("items", "values", "type"):
            yield from _named(schema.get(key))


def keep_release(version: str, folder: Path) -> str:
    """Keep the current files as a release's. A release that is kept already must be the same."""
    known = released().get(version)
    if known is not None:
        same = {name: fingerprint(each) for name, each in known.items()} == {
            name: fingerprint(each) for name, each in current().items()
        }
        if same:
            return f"release {version} is kept already"
        raise SystemExit(f"release {version} is kept already, with other schemas: choose another version")
    target = folder / version
    target.mkdir(parents=True)
    for name in current():
        (target / f"{name}.avsc").write_text(text_of(name), encoding="utf-8")
    return f"kept {len(current())} schemas as release {version}"


def main(arguments: list[str] | None = None) -> int:
    """The command: 0 when every release reads every other."""
    parser = argparse.ArgumentParser(prog="python -m tasker_kafka.schemas.compatibility", description=__doc__)
    parser.add_argument("--release", metavar="VERSION", help="keep the current schemas as this release's")
    options = parser.parse_args(arguments)
    breaks = find_breaks(released(), current())
    lines = [str(each) for each in breaks]
    if not breaks:
        lines.append(f"{len(current())} schemas, compatible with {len(released())} released versions")
        if options.release is not None:
            lines.append(keep_release(options.release, Path(__file__).parent / "avro" / "released"))
    sys.stdout.write("\n".join(lines) + "\n")
    return 1 if breaks else 0


if __name__ == "__main__":
    raise SystemExit(main())
