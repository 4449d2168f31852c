"""Runs handlers: a fixed number of asyncio tasks that take job after job, so that no event costs a task of its own.

An async handler is driven by hand: its first step runs at once, in a context of its own, and most handlers that only
compute end there. One that waits is awaited by its runner, with a timer; before that another runner is woken. A plain
function runs in a thread, one with `isolation="process"` in a child process.

A handler that does not end in time is cancelled. One that goes on all the same is abandoned: its event has failed,
its runner is replaced, and what it does later is nobody's business any more.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Coroutine, Generator
from contextvars import Context, copy_context
from typing import Any, Final, Protocol

from tasker_kafka.handlers.errors import ResultError
from tasker_kafka.handlers.subscribing.event import DomainEvent
from tasker_kafka.handlers.tracing import current_step
from tasker_kafka.handlers.worker.threads import HandlerThreads

from .children import ChildFailed, EventChildren
from .failures import DeliveryFailure, failure_of, failure_of_end, timed_out
from .figures import Figures
from .jobs import Job
from .prepared import Prepared

__all__ = ["Call", "Runners", "Work"]

_logger = logging.getLogger(__name__)

_TURN: Final = 50
"""Handlers that end at once, after which a runner lets others have the loop."""


class Call:
    """One delivery that is to be made."""

    __slots__ = ("event", "is_over", "job", "prepared", "ticket")

    def __init__(self, job: Job, prepared: Prepared, event: DomainEvent[Any], ticket: int) -> None:
        self.job = job
        self.prepared = prepared
        self.event = event
        self.ticket = ticket
        self.is_over = False


class Work(Protocol):
    """Where runners get calls from (`desk.Desk`)."""

    def next_call(self) -> Call | None:
        """The next that can be made now."""
        ...

    def ended(self, call: Call, failure: DeliveryFailure | None) -> None:
        """It has succeeded, or failed."""
        ...

    def has_more(self) -> bool:
        """Whether another call may be ready."""
        ...


class Runners:
    """At most `size` handlers at once."""

    def __init__(
        self,
        work: Work,
        size: int,
        *,
        figures: Figures,
        processes: int,
        grace_seconds: float,
        on_error: Callable[[BaseException], None],
    ) -> None:
        self._work = work
        self._size = size
        self._figures = figures
        self._grace = grace_seconds
        self._on_error = on_error
        self._loop = asyncio.get_running_loop()
        self._threads = HandlerThreads()
        self._children = EventChildren(self._threads, processes)
        self._is_closed = False
        self._idle: list[asyncio.Future[None]] = []
        self._tasks: dict[asyncio.Task[None], Call | None] = {}

    @property
    def has_idle(self) -> bool:
        """Whether another call could be made at once."""
        return bool(self._idle) or len(self._tasks) < self._size

    @property
    def is_quiet(self) -> bool:
        """No handler runs."""
        return all(call is None for call in self._tasks.values())

    def wake(self) -> None:
        """Something may be ready: let an idle runner look."""
        if self._is_closed:
            return
        while self._idle:
            waiting = self._idle.pop()
            if not waiting.done():
                waiting.set_result(None)
                return
        if len(self._tasks) < self._size:
            self._start()

    def cancel(self, wanted: Callable[[Call], bool]) -> list[Call]:
        """Give up handlers of these calls, without an end: those that ran."""
        given_up = []
        for task, call in list(self._tasks.items()):
            if call is not None and not call.is_over and wanted(call):
                self._abandon(task, call, None)
                given_up.append(call)
        return given_up

    async def close(self) -> None:
        """End all; nobody hears of what still runs."""
        self._is_closed = True
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        self._children.close()
        self._threads.shutdown(wait=False)
        if tasks:
            await asyncio.wait(tasks, timeout=self._grace)

    # ------------------------------------------------------------------------------------- a runner

    def _start(self) -> None:
        task = self._loop.create_task(self._run(), name="subscriber")
        self._tasks[task] = None
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.pop(task, None)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._on_error(error)

    async def _run(self) -> None:
        me = asyncio.current_task()
        assert me is not None
        done = 0
        while True:
            call = self._work.next_call()
            if call is None:
                waiting: asyncio.Future[None] = self._loop.create_future()
                self._idle.append(waiting)
                await waiting
                continue
            self._tasks[me] = call
            failure = await self._failure_of(me, call)
            if call.is_over:
                return  # abandoned, and replaced
            self._tasks[me] = None
            call.is_over = True
            self._work.ended(call, failure)
            done += 1
            if done % _TURN == 0:
                await asyncio.sleep(0)

    async def _failure_of(self, me: asyncio.Task[None], call: Call) -> DeliveryFailure | None:
        """How the call fails; None when it does not."""
        prepared = call.prepared
        try:
            if prepared.said.isolation == "process":
                started: Awaitable[Any] | None = None
            elif not prepared.is_async:
                started = self._loop.run_in_executor(self._threads, _plain, prepared, call.event)
            else:
                context = copy_context()
                coroutine = context.run(_begin, prepared, call.event)
                try:
                    first = context.run(coroutine.send, None)
                except StopIteration:
                    return None
                started = _Driven(context, coroutine, first)
            return await self._waited(me, call, started)
        except (KeyboardInterrupt, GeneratorExit):
            raise
        except ChildFailed as error:
            return failure_of_end(error.failure)
        except asyncio.CancelledError as error:
            if call.is_over or me.cancelling():
                raise
            return failure_of(error)
        except BaseException as error:
            return failure_of(error)

    async def _waited(
        self, me: asyncio.Task[None], call: Call, started: Awaitable[Any] | None
    ) -> DeliveryFailure | None:
        """Wait for a handler, at most its time; None: for one in a child process, from when that has begun."""
        if self._work.has_more():
            self.wake()
        seconds = call.prepared.policy.timeout_seconds
        limit = _Limit(
            self._loop, me, seconds, self._grace, lambda: self._abandon(me, call, timed_out(seconds))
        )
        try:
            if started is None:
                await self._children.run(call.prepared.said, call.event, limit.start)
            else:
                limit.start()
                await started
        except asyncio.CancelledError:
            if not limit.is_reached or call.is_over:
                raise
            me.uncancel()
            if not call.prepared.is_async:
                self._figures.abandoned += call.prepared.said.isolation != "process"
            return timed_out(seconds)
        finally:
            limit.close()
        if limit.is_reached:
            me.uncancel()
        return None

    def _abandon(self, task: asyncio.Task[None], call: Call, failure: DeliveryFailure | None) -> None:
        """Go on without this runner; its handler may never end."""
        call.is_over = True
        self._figures.abandoned += failure is not None
        self._tasks.pop(task, None)
        task.cancel()
        if failure is not None:
            _logger.error("the handler of %s ignores its cancellation and is given up", call.prepared.name)
            self._work.ended(call, failure)
        self.wake()


class _Limit:
    """Cancels a task after some seconds, and calls `give_up` if that does not end it."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        task: asyncio.Task[None],
        seconds: float,
        grace: float,
        give_up: Callable[[], None],
    ) -> None:
        self.is_reached = False
        self._loop = loop
        self._task = task
        self._seconds = seconds
        self._grace = grace
        self._give_up = give_up
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """The time begins."""
        self._timer = self._loop.call_later(self._seconds, self._reach)

    def close(self) -> None:
        """It has ended."""
        if self._timer is not None:
            self._timer.cancel()

    def _reach(self) -> None:
        self.is_reached = True
        self._task.cancel()
        self._timer = self._loop.call_later(self._grace, self._give_up)


class _Driven:
    """A coroutine that has made its first step; awaiting it makes the others, in its own context."""

    __slots__ = ("_context", "_coroutine", "_first")

    def __init__(self, context: Context, coroutine: Coroutine[Any, Any, Any], first: Any) -> None:
        self._context = context
        self._coroutine = coroutine
        self._first = first

    def __await__(self) -> Generator[Any, Any, None]:
        step, waited = self._context.run, self._first
        while True:
            try:
                value = yield waited
            except BaseException as error:
                action: Callable[[Any], Any] = self._coroutine.throw
                given: Any = error
            else:
                action, given = self._coroutine.send, value
            try:
                waited = step(action, given)
            except StopIteration:
                return


def _begin(prepared: Prepared, event: DomainEvent[Any]) -> Coroutine[Any, Any, Any]:
    """The handler's coroutine."""
    span = current_step(event.metadata.traceparent)
    if not isinstance(span, contextlib.nullcontext):
        return _traced(prepared, event)
    found = prepared.handler(event)
    return found if isinstance(found, Coroutine) else _awaited(found)


async def _traced(prepared: Prepared, event: DomainEvent[Any]) -> None:
    with current_step(event.metadata.traceparent):
        await prepared.handler(event)


async def _awaited(found: Awaitable[Any]) -> None:
    await found


def _plain(prepared: Prepared, event: DomainEvent[Any]) -> None:
    """Run a handler that is a plain function."""
    with current_step(event.metadata.traceparent):
        found = prepared.handler(event)
    if hasattr(found, "__await__"):
        close = getattr(found, "close", None)
        if close is not None:
            close()
        raise ResultError(
            "the handler returned an awaitable: declare it `async def`, or await before returning"
        )
