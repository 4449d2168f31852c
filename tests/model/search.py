"""Breadth first through every reachable state: the first wrong one has a shortest way to it, which is the trace."""

from __future__ import annotations

import gc
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from .machine import Machine, State
from .verdict import Verdict

__all__ = ["Found", "explore"]


@dataclass(frozen=True, slots=True)
class Found:
    """What an exploration has seen."""

    states: int
    transitions: int
    depth: int
    """Steps of the longest shortest way."""
    settled: int
    unrecorded_outputs: int
    """Of the settled states, those with an output that no accepted decision has (the honest limit)."""
    seconds: float
    """CPU time."""
    is_complete: bool
    """Whether it has seen every state."""
    wrong: str | None = None
    trace: tuple[State, ...] = ()
    """A shortest way to what is wrong."""
    reached: frozenset[State] = field(default=frozenset(), repr=False)


def explore(machine: Machine, *, keep: bool = False, most_states: int | None = None) -> Found:
    """Every state, or up to the first wrong one. `keep`: give all states back. `most_states`: stop beyond."""
    began = time.process_time()
    search = _Search(machine)
    with _no_collection():
        while search.level and search.wrong is None:
            search.go_deeper()
            if most_states is not None and len(search.parents) > most_states:
                break
    counts = search.verdict.counts
    return Found(
        states=len(search.parents),
        transitions=search.transitions,
        depth=search.depth - 1,
        settled=counts.settled,
        unrecorded_outputs=counts.unrecorded_outputs,
        seconds=time.process_time() - began,
        is_complete=not search.level,
        wrong=search.wrong,
        trace=() if search.wrong is None else _way(search.parents, search.at),
        reached=frozenset(search.parents) if keep else frozenset(),
    )


class _Search:
    """One exploration, level by level. `at`: the wrong state, once there is one."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.verdict = Verdict(machine)
        self.at = machine.initial()
        self.parents: dict[State, State | None] = {self.at: None}
        self.level = [self.at]
        self.wrong = self.verdict.judge(self.at)
        self.depth = self.transitions = 0

    def go_deeper(self) -> None:
        """Everything one step further; stops at the first wrong state."""
        parents, judge, find = self.parents, self.verdict.judge, self.machine.successors
        following: list[State] = []
        self.depth += 1
        for state in self.level:
            successors = find(state)
            self.transitions += len(successors)
            for _, after in successors:
                wrong = None if after[2] == state[2] else self.verdict.judge_step(state, after)
                if wrong is None:
                    if after in parents:
                        continue
                    parents[after] = state
                    following.append(after)
                    wrong = judge(after)
                if wrong is not None:
                    parents[after] = state
                    self.wrong, self.at = wrong, after
                    return
            if not successors and (wrong := self.verdict.judge_end(state)) is not None:
                self.wrong, self.at = wrong, state
                return
        self.level = following


def _way(parents: dict[State, State | None], state: State) -> tuple[State, ...]:
    way = [state]
    before = parents[state]
    while before is not None:
        way.append(before)
        before = parents[before]
    return tuple(reversed(way))


@contextmanager
def _no_collection() -> Iterator[None]:
    """States hold no cycles, and there are millions of them."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
