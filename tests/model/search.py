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
    verdict = Verdict(machine)
    initial = machine.initial()
    parents: dict[State, State | None] = {initial: None}
    wrong, at = verdict.judge(initial), initial
    level, depth, transitions = [initial], 0, 0
    with _no_collection():
        while level and wrong is None:
            depth += 1
            following: list[State] = []
            for state in level:
                successors = machine.successors(state)
                transitions += len(successors)
                for _, after in successors:
                    if after[2] != state[2]:
                        wrong = verdict.judge_step(state, after)
                    if after not in parents:
                        parents[after] = state
                        following.append(after)
                        wrong = wrong or verdict.judge(after)
                    elif wrong is not None:
                        parents[after] = state
                    if wrong is not None:
                        at = after
                        break
                if not successors and wrong is None:
                    wrong, at = verdict.judge_end(state), state
                if wrong is not None:
                    break
            if most_states is not None and len(parents) > most_states:
                break
            level = following
    return Found(
        states=len(parents),
        transitions=transitions,
        depth=depth - 1,
        settled=verdict.counts.settled,
        unrecorded_outputs=verdict.counts.unrecorded_outputs,
        seconds=time.process_time() - began,
        is_complete=not level,
        wrong=wrong,
        trace=() if wrong is None else _way(parents, at),
        reached=frozenset(parents) if keep else frozenset(),
    )


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
