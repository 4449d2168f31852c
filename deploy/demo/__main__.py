"""`python -m tasker_kafka.deploy.demo`: a real Kafka, an orchestrator, a worker, subscribers, a console, twelve tasks.

Exit code 0 only if every task ended as its story says, and the console shows it. With KEEP=1 everything then goes on
until Ctrl-C, for a look at the console. Whatever happens, nothing that was started is left running.
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
from tasker_kafka.deploy.read_side import MISSING
from tasker_kafka.schemas.errors import TaskerError
from tasker_kafka.topics.brokers import EmbeddedBroker
from tasker_kafka.topics.brokers.runtime import Runtime

from .observed import print_heard
from .play import Outcome, play
from .report import print_ending
from .screen import Screen, make_console
from .seen import seen
from .stage import Stage
from .stories import STORIES, Story

__all__ = ["main"]

LOG_LINES: Final = 40
"""Of each role, printed when the demo fails."""
INTERRUPTED: Final = 130
AOT_VARIABLE: Final = "TASKER_BROKER_AOT"
KEEP_VARIABLE: Final = "KEEP"


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
    if not is_kept():
        tell(console, outcomes, time.monotonic() - started)
    return 1 if any(outcome.faults for outcome in outcomes) else 0


def is_kept() -> bool:
    """Whether everything goes on after the last story."""
    return os.environ.get(KEEP_VARIABLE, "") not in ("", "0")


def tell(console: Console, outcomes: Sequence[Outcome], seconds: float) -> None:
    """How each story ended, and all of them."""
    for outcome in outcomes:
        if outcome.ending is not None:
            print_ending(console, outcome.ending)
        if outcome.heard is not None:
            print_heard(console, outcome.heard)
    conclude(console, outcomes, seconds)


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
        if is_kept():
            tell(console, outcomes, time.monotonic() - started)
            await keep(stage, console)
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
    screen.say(MISSING if stage.read_side is None else f"console: {stage.read_side.url}")
    outcomes = await play(stage, shop, screen, stories)
    if stage.read_side is not None:
        outcomes = await seen(outcomes, stage.read_side, screen)
    goes_on = "everything goes on" if is_kept() else "stopping everything"
    screen.say(f"every task has ended, every event is told; {goes_on}")
    return outcomes


async def keep(stage: Stage, console: Console) -> None:
    """Leave everything running until a signal. RoleEnded when a role ends meanwhile."""
    stopping = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    if stage.read_side is not None:
        console.print(f"\nconsole: {stage.read_side.url}")
    console.print("KEEP: everything goes on until Ctrl-C")
    told, ended = asyncio.create_task(stopping.wait()), asyncio.create_task(stage.wait_ended())
    try:
        await asyncio.wait([told, ended], return_when=asyncio.FIRST_COMPLETED)
        if ended.done():
            ended.result()
    finally:
        told.cancel()
        ended.cancel()


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


def conclude(console: Console, outcomes: Sequence[Outcome], seconds: float) -> None:
    """The last lines: how many tasks ended as their stories say, and why others did not."""
    wrong = [outcome for outcome in outcomes if outcome.faults]
    console.print()
    for outcome in wrong:
        for fault in outcome.faults:
            console.print(Text(f"{outcome.story.name}: {fault}", style="bold red"), soft_wrap=True)
    text = f"{len(outcomes) - len(wrong)} of {len(outcomes)} tasks ended as their stories say, in {seconds:.1f} s"
    console.print(Text(text, style="bold red" if wrong else "bold green"))


def print_logs(console: Console, stage: Stage) -> None:
    """The last lines that each role has printed."""
    for name, lines in stage.role_logs().items():
        console.print(Text(f"\nthe last lines of the {name}", style="bold"))
        for line in lines[-LOG_LINES:] or ["(none)"]:
            console.print(Text(f"  {line}"), soft_wrap=True)


if __name__ == "__main__":
    sys.exit(main())
