"""Python annotations as trees, so that long ones can be broken as formatters break them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from .text import WIDTH

__all__ = ["ANY", "NONE", "Annotation", "assigned", "literal", "named", "of", "union"]


@dataclass(frozen=True)
class Annotation:
    """A name (`head` alone), a subscript (`head[parts]`), or a union (no head)."""

    head: str
    parts: tuple[Annotation, ...] = ()

    def __str__(self) -> str:
        if not self.head:
            return " | ".join(map(str, self.parts))
        return f"{self.head}[{', '.join(map(str, self.parts))}]" if self.parts else self.head

    @property
    def is_optional(self) -> bool:
        """None is one of its values."""
        if self.head == "Literal":
            return NONE in self.parts
        return self in (NONE, ANY) or (not self.head and any(each.is_optional for each in self.parts))


def named(name: str) -> Annotation:
    """A type by its name."""
    return Annotation(name)


ANY = named("Any")
NONE = named("None")


def of(head: str, *parts: Annotation) -> Annotation:
    """`head[parts]`."""
    return Annotation(head, parts)


def union(parts: Iterable[Annotation]) -> Annotation:
    """Any of these; `Any` swallows the rest, None comes last."""
    flat: dict[Annotation, None] = {}
    for each in parts:
        flat.update(dict.fromkeys((each,) if each.head else each.parts))
    if ANY in flat or not flat:
        return ANY
    ordered = [each for each in flat if each != NONE]
    if NONE in flat:
        literals = [each for each in ordered if each.head == "Literal"]
        if not literals:
            ordered.append(NONE)
        elif not any(each.is_optional for each in literals):
            at = ordered.index(literals[-1])
            ordered[at] = Annotation("Literal", (*literals[-1].parts, NONE))
    return ordered[0] if len(ordered) == 1 else Annotation("", tuple(ordered))


def literal(value: object) -> str:
    """A value as Python text, in letters that every editor shows alike."""
    if isinstance(value, str):
        escaped = value.encode("unicode_escape").decode("ascii")
        quote = "'" if escaped.count('"') > escaped.count("'") else '"'
        return quote + escaped.replace(quote, f"\\{quote}") + quote
    return repr(value)


def assigned(name: str, annotation: Annotation) -> str:
    """`name = annotation`, broken where it is too long for a line."""
    line = f"{name} = {annotation}"
    if len(line) <= WIDTH or not annotation.parts:
        return line
    if not annotation.head:
        return f"{name} = (\n    {_rendered(annotation, 4, 0)}\n)"
    return f"{name} = {_broken(annotation, 0)}"


def _rendered(annotation: Annotation, indent: int, after: int) -> str:
    """The annotation as it stands in column `indent`, with `after` characters behind it."""
    if indent + len(str(annotation)) + after <= WIDTH or not annotation.parts:
        return str(annotation)
    if annotation.head:
        return _broken(annotation, indent)
    parts = [_rendered(each, indent, after + len("| ")) for each in annotation.parts]
    return f"\n{' ' * indent}| ".join(parts)


def _broken(annotation: Annotation, indent: int) -> str:
    inner = " " * (indent + 4)
    parts = [f"{inner}{_rendered(each, indent + 4, 1)},\n" for each in annotation.parts]
    return f"{annotation.head}[\n{''.join(parts)}{' ' * indent}]"
