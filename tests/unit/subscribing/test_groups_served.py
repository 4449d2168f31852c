"""Groups in one process: each goes on, ends, starts again or stays down by itself."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasker_kafka.handlers.subscribing import Subscriber, SubscriberSpec
from tasker_kafka.handlers.subscribing.backoff import Backoff
from tasker_kafka.handlers.subscribing.serving import Serving
from tasker_kafka.schemas.errors import BrokerUnavailable, ConfigurationError, SchemaUnknown


class Scene:
    """Members that do what a test says, and what has happened."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.more = asyncio.Event()
        self.ends: dict[str, list[BaseException]] = {}

    def say(self, line: str) -> None:
        self.seen.append(line)
        self.more.set()

    async def wait_for(self, line: str, times: int = 1) -> None:
        while self.seen.count(line) < times:
            self.more.clear()
            await asyncio.wait_for(self.more.wait(), 20)

    def make(self, spec: SubscriberSpec) -> FakeMember:
        return FakeMember(self, spec.group)

    def serving(self, *groups: str, **options: Any) -> Serving:
        specs = [spec_of(group, **options) for group in groups]
        return Serving(specs, self.make, make_backoff=lambda: Backoff(0.001, 0.001))


class FakeMember:
    """Ends with the next error of its group, if there is one; else when it is told to."""

    def __init__(self, scene: Scene, group: str) -> None:
        self._scene, self._group = scene, group
        self._stopping = asyncio.Event()

    async def run(self) -> None:
        self._scene.say(f"{self._group} runs")
        errors = self._scene.ends.get(self._group, [])
        if errors:
            raise errors.pop(0)
        await self._stopping.wait()
        self._scene.say(f"{self._group} stopped")

    async def stop(self) -> None:
        self._stopping.set()

    async def wait_ready(self) -> None:
        return


def spec_of(group: str, lifespan: Callable[[], Any] | None = None) -> SubscriberSpec:
    """A group with a handler."""
    subscriber = Subscriber(group, lifespan=lifespan)
    subscriber.on("a.b", name="take")(print)
    return subscriber.spec


async def end(serving: Serving, running: asyncio.Task[None]) -> None:
    """Stop, and give what `run` raises."""
    await serving.stop()
    await asyncio.wait_for(running, 20)


async def test_all_run_until_they_are_stopped() -> None:
    scene = Scene()
    serving = scene.serving("a", "b")
    running = asyncio.create_task(serving.run())
    await serving.wait_ready()
    await end(serving, running)
    assert sorted(scene.seen) == ["a runs", "a stopped", "b runs", "b stopped"]


async def test_one_that_fails_starts_again_and_the_others_never_stop() -> None:
    scene = Scene()
    scene.ends["a"] = [BrokerUnavailable("away"), ZeroDivisionError("a defect")]
    serving = scene.serving("a", "b")
    running = asyncio.create_task(serving.run())
    await scene.wait_for("a runs", 3)
    await end(serving, running)
    assert scene.seen.count("b runs") == 1


@pytest.mark.parametrize("error", [ConfigurationError("wrong"), SchemaUnknown("newer")])
async def test_one_that_cannot_go_on_stays_down_and_is_told_at_the_end(error: Exception) -> None:
    scene = Scene()
    scene.ends["a"] = [error]
    serving = scene.serving("a", "b")
    running = asyncio.create_task(serving.run())
    await serving.wait_ready()
    await scene.wait_for("b runs")
    with pytest.raises(type(error)):
        await end(serving, running)
    assert scene.seen.count("a runs") == 1
    assert scene.seen[-1] == "b stopped"


async def test_when_none_is_left_the_first_reason_ends_all() -> None:
    scene = Scene()
    scene.ends = {"a": [ConfigurationError("first")], "b": [ConfigurationError("second")]}
    with pytest.raises(ConfigurationError, match="first"):
        await asyncio.wait_for(scene.serving("a", "b").run(), 20)


async def test_what_ends_a_group_alone_ends_the_process() -> None:
    scene = Scene()
    scene.ends["a"] = [BrokerUnavailable("away")]
    with pytest.raises(BrokerUnavailable):
        await asyncio.wait_for(scene.serving("a").run(), 20)


async def test_a_stop_does_not_wait_for_the_next_start() -> None:
    scene = Scene()
    scene.ends["a"] = [ZeroDivisionError()] * 2
    specs = [spec_of("a"), spec_of("b")]
    serving = Serving(specs, scene.make, make_backoff=lambda: Backoff(3600, 3600))
    running = asyncio.create_task(serving.run())
    await scene.wait_for("a runs")
    await end(serving, running)


async def test_the_lifespan_frames_each_run_and_its_failure_is_the_groups() -> None:
    scene = Scene()
    failures = [BrokerUnavailable("no database")]

    @asynccontextmanager
    async def clients() -> AsyncIterator[None]:
        scene.say("opens")
        if failures:
            raise failures.pop()
        yield
        scene.say("closes")

    serving = scene.serving("a", "b", lifespan=clients)
    running = asyncio.create_task(serving.run())
    await scene.wait_for("a runs")
    await scene.wait_for("b runs")
    await end(serving, running)
    assert scene.seen.count("opens") == 3
    assert scene.seen.count("closes") == 2


async def test_no_group_is_no_process() -> None:
    with pytest.raises(ConfigurationError, match="no group to serve"):
        Serving([], Scene().make)


@given(st.lists(st.floats(0, 59), min_size=1, max_size=12))
def test_waits_double_up_to_a_minute(runs: list[float]) -> None:
    backoff = Backoff()
    assert [backoff.after(ran) for ran in runs] == [min(2.0**number, 60.0) for number in range(len(runs))]


def test_a_run_that_lasted_begins_anew() -> None:
    backoff = Backoff()
    assert [backoff.after(ran) for ran in (0, 0, 0, 60, 0)] == [1, 2, 4, 1, 2]
