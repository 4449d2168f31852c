"""An event loop whose clock jumps: hours of waiting pass in the time the code itself needs.

When nothing is ready and only timers are pending, the clock moves to the next timer at once. While real work is
outstanding (jobs in executors, registered files and sockets, or an `external()` block) the loop waits really, and the
clock moves with real time. Two runs of the same code without real work see the same times in the same order.

If nothing is ready, no timer is pending and no real work is outstanding, nothing can ever happen again: the loop
raises `NothingCanHappen` instead of hanging.
"""

from __future__ import annotations

import asyncio
import selectors
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar, TypeVarTuple

__all__ = ["NothingCanHappen", "VirtualTimeLoop", "run_virtual"]

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

_Ready = list[tuple[selectors.SelectorKey, int]]


class NothingCanHappen(RuntimeError):
    """Every task waits for something that nobody can bring about."""


class _JumpingSelector(selectors.BaseSelector):
    """A real selector that, instead of sleeping until a timer, moves the clock."""

    def __init__(self) -> None:
        self._real = selectors.DefaultSelector()
        self.now = 0.0
        self.external = 0

    def select(self, timeout: float | None = None) -> _Ready:
        if timeout is not None and timeout <= 0:
            return self._real.select(0)
        ready = self._real.select(0)
        if ready:
            return ready
        # One file is the loop's own self-pipe.
        if self.external or len(self._real.get_map()) > 1:
            return self._wait(timeout)
        if timeout is None:
            raise NothingCanHappen(
                "every task waits, no timer is pending and no real work is outstanding: "
                "this is a deadlock (work in threads of your own belongs in `loop.external()`)"
            )
        self.now += timeout
        return []

    def _wait(self, timeout: float | None) -> _Ready:
        began = time.monotonic()
        ready = self._real.select(timeout)
        self.now += time.monotonic() - began
        return ready

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        return self._real.register(fileobj, events, data)

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        return self._real.unregister(fileobj)

    def modify(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        return self._real.modify(fileobj, events, data)

    def get_map(self) -> Any:
        return self._real.get_map()

    def close(self) -> None:
        self._real.close()


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """An asyncio loop with a virtual clock that starts at 0."""

    def __init__(self) -> None:
        self._jumping = _JumpingSelector()
        super().__init__(self._jumping)

    def time(self) -> float:
        """Virtual seconds since the loop was made."""
        return self._jumping.now

    @contextmanager
    def external(self) -> Iterator[None]:
        """While inside, somebody outside the loop (a thread, a process) may wake it: wait really."""
        self._jumping.external += 1
        try:
            yield
        finally:
            self._jumping.external -= 1

    def run_in_executor(self, executor: Any, func: Callable[[*Ts], T], *args: *Ts) -> asyncio.Future[T]:
        """As usual; the clock follows real time until the job is done."""
        future = super().run_in_executor(executor, func, *args)
        self._jumping.external += 1
        future.add_done_callback(self._job_done)
        return future

    async def shutdown_default_executor(self, *args: Any, **options: Any) -> None:
        """As usual: its thread is real work."""
        with self.external():
            await super().shutdown_default_executor(*args, **options)

    def _job_done(self, _: object) -> None:
        self._jumping.external -= 1


def run_virtual(main: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end on a new loop with a virtual clock, as `asyncio.run` does on a real one."""
    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        return runner.run(main)
