"""Gives values small numbers, so that a state is a tuple of ints."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Generic, TypeVar

__all__ = ["Numbers"]

T = TypeVar("T", bound=Hashable)


class Numbers(Generic[T]):
    """Call it with a value for its number; index it with a number for the value. The first ones are given."""

    __slots__ = ("_number_of", "_values")

    def __init__(self, *first: T) -> None:
        self._values: list[T] = list(first)
        self._number_of: dict[T, int] = {value: number for number, value in enumerate(first)}

    def __call__(self, value: T) -> int:
        number = self._number_of.get(value)
        if number is None:
            number = self._number_of[value] = len(self._values)
            self._values.append(value)
        return number

    def __getitem__(self, number: int) -> T:
        return self._values[number]

    def __len__(self) -> int:
        return len(self._values)
