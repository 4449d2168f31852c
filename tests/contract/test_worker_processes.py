"""What a handler does to its child process, its worker survives."""

from __future__ import annotations

import pytest

from . import process_handlers
from .worker_rig import (
    Outcome,
    Rig,
    failure,
    step_of,
    value_of,
)
from .worker_sides import Side, play


@pytest.mark.slow
@pytest.mark.parametrize(
    ("handler", "kind", "code"),
    [
        ("segfault", "ProcessDied", "process_died"),
        ("leaves", "ProcessDied", "process_died"),
        ("exits", "SystemExit", "SystemExit"),
        ("greedy", "MemoryError", "memory_limit"),
    ],
)
def test_a_child_process_may_die_and_its_worker_goes_on(
    side: Side, handler: str, kind: str, code: str
) -> None:
    async def scenario(made: Rig) -> None:
        await made.work(getattr(process_handlers, handler), process_handlers.prints)
        await made.dispatch(1)
        found = failure(await made.result())
        assert (found.type, found.code, found.retryable) == (kind, code, True)
        await made.dispatch(2, "two")
        assert (await made.result(2)).result == b'"done"'

    play(side, scenario, steps=[step_of("one", handler=handler), step_of("two", handler="prints")])


def test_a_child_process_has_the_whole_context(side: Side) -> None:
    async def scenario(made: Rig) -> None:
        await made.work(process_handlers.polite, process_handlers.polite_async)
        await made.dispatch(1)
        await made.dispatch(2)
        first, second = [value_of(await made.result(number)) for number in (1, 2)]
        assert first["task"] != second["task"]
        await made.dispatch(3, "two")
        assert (await made.result(3)).outcome is Outcome.SUCCESS
        assert len(await made.read(made.names.task_requests)) == 3

    play(side, scenario, steps=[step_of("one", handler="polite"), step_of("two", handler="polite_async")])
