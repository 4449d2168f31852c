"""`python -m tasker_kafka.deploy.demo`: a real Kafka, an orchestrator, a worker, subscribers, and twelve tasks.

Exit code 0 only if every task ended as its story says. Whatever happens, nothing that was started is left running.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Final

from rich.console import Console
from rich.text import Text

from tasker_kafka.deploy.examples.shop import Shop
from tasker_kafka.schemas.errors import TaskerError
from tasker_kafka.topics.brokers import EmbeddedBroker
from tasker_kafka.topics.brokers.runtime import Runtime

from .observed import print_heard
from .play import Outcome, play
from .report import print_ending
from .screen import Screen, make_console
from .stage import Stage
from .stories import STORIES, Story

__all__ = ["main"]

LOG_LINES: Final = 40
"""Of each role, printed when the demo fails."""
INTERRUPTED: Final = 130
AOT_VARIABLE: Final = "TASKER_BROKER_AOT"


def main(stories: Sequence[Story] = STORIES) -> int:
    """Run the demo: its exit code."""
    console = make_console()
    try:
        return run(console, stories)
    except (KeyboardInterrupt, asyncio.CancelledError):
        console.print("\ninterrupted; everything that was started is stopped")
        return INTERRUPTED
    except TaskerError as error:
        console.print(Text(f"\nthe demo failed: {error}", style="bold red"), soft_wrap=True)
        return 1


def run(console: Console, stories: Sequence[Story]) -> int:
    """Play, then tell how it ended: the exit code."""
    started = time.monotonic()
    console.print(Text("Tasker on Kafka: a workflow engine whose only database is Kafka\n", style="bold"))
    with Shop() as shop:
        shop.open_books(is_open=False)
        outcomes = asyncio.run(perform(shop, console, started, stories))
    for outcome in outcomes:
        if outcome.ending is not None:
            print_ending(console, outcome.ending)
        if outcome.heard is not None:
            print_heard(console, outcome.heard)
    wrong = conclude(console, outcomes, time.monotonic() - started)
    return 1 if wrong else 0


async def perform(shop: Shop, console: Console, started: float, stories: Sequence[Story]) -> list[Outcome]:
    """Everything from the first process to the end of the last."""
    this = asyncio.current_task()
    assert this is not None, "it runs in one"
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, this.cancel)
    async with own_broker() as starting, Stage(shop.url) as stage:
        broker = await asyncio.shield(starting)
        with Screen(console, started) as screen:
            try:
                outcomes = await show(broker.bootstrap_servers, stage, shop, screen, stories)
            except TaskerError:
                await stage.stop_roles()
                print_logs(console, stage)
                raise
        await stage.stop_roles()
        if any(outcome.faults for outcome in outcomes):
            print_logs(console, stage)
    return outcomes


async def show(
    bootstrap: str, stage: Stage, shop: Shop, screen: Screen, stories: Sequence[Story]
) -> list[Outcome]:
    """From a broker that answers to the end of every task."""
    screen.say(f"Apache Kafka answers on {bootstrap}")
    await stage.connect(bootstrap)
    topics, templates = await stage.provide()
    screen.say(f"{topics} topics created, {templates} templates published")
    stage.open_gate()
    screen.say(f"orchestrator, worker and subscribers join; {len(stories)} requests go to the request topic")
    outcomes = await play(stage, shop, screen, stories)
    screen.say("every task has ended, every event is told; stopping everything")
    return outcomes


@asynccontextmanager
async def own_broker() -> AsyncIterator[asyncio.Task[EmbeddedBroker]]:
    """A broker that is being started in a thread; stopped at the end of the block, also if it came too late for it."""
    starting = asyncio.create_task(asyncio.to_thread(start_broker))
    try:
        yield starting
    finally:
        await asyncio.wait([starting])
        if starting.exception() is None:
            await asyncio.to_thread(starting.result().stop)


def start_broker() -> EmbeddedBroker:
    """Start it. Where its AOT cache is missing, none is made: that would go on in the background after the demo."""
    cache = Runtime.prepare().aot_cache
    if cache is not None and not cache.is_file():
        os.environ[AOT_VARIABLE] = "0"
    return EmbeddedBroker.start()


def conclude(console: Console, outcomes: Sequence[Outcome], seconds: float) -> int:
    """The last lines: how many tasks did not end as their stories say."""
    wrong = [outcome for outcome in outcomes if outcome.faults]
    console.print()
    for outcome in wrong:
        for fault in outcome.faults:
            console.print(Text(f"{outcome.story.name}: {fault}", style="bold red"), soft_wrap=True)
    text = f"{len(outcomes) - len(wrong)} of {len(outcomes)} tasks ended as their stories say, in {seconds:.1f} s"
    console.print(Text(text, style="bold red" if wrong else "bold green"))
    return len(wrong)


def print_logs(console: Console, stage: Stage) -> None:
    """The last lines that each role has printed."""
    for name, lines in stage.role_logs().items():
        console.print(Text(f"\nthe last lines of the {name}", style="bold"))
        for line in lines[-LOG_LINES:] or ["(none)"]:
            console.print(Text(f"  {line}"), soft_wrap=True)


if __name__ == "__main__":
    sys.exit(main())
