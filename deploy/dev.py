"""`tasker dev`: everything on one machine, in one terminal, gone when it ends.

Order of the start: broker, topics, templates, topics of the templates' queues, orchestrator, worker, subscribers,
projector, console. The end is the same backwards, so that a worker can still give back what it has, and an orchestrator
save what it knows. A child that ends by itself ends all; its exit code is ours.
"""

from __future__ import annotations

import asyncio
import signal
import sys
import webbrowser
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

from tasker_kafka.schemas.errors import LogError, TaskerError
from tasker_kafka.schemas.plan import Plan
from tasker_kafka.schemas.settings import Settings
from tasker_kafka.topics.declarations import declared_for
from tasker_kafka.topics.log import Log
from tasker_kafka.topics.names import TopicNames

from .children import Child
from .provisioning import create_topics, partitions_for
from .read_side import ReadSide
from .template_files import load_plans, publish_files
from .watching import FileWatch, module_files
from .wiring import configured_partitions, topic_plan

__all__ = ["DEV_PARTITIONS", "DevSystem", "Wanted"]

DEV_PARTITIONS = 4
LOOK_SECONDS = 0.5
"""How often the watched files are looked at."""


@dataclass(frozen=True)
class Wanted:
    """What a development system consists of."""

    modules: tuple[str, ...]
    """Of step handlers."""
    templates: tuple[Path, ...]
    reload: bool
    log_level: str = "INFO"
    subscriber_modules: tuple[str, ...] = ()
    """Of subscribers; the same module may hold both."""
    subscriber_files: tuple[Path, ...] = ()
    """Of subscriptions."""
    read_side: ReadSide | None = None
    """Projector and console; None: without them."""
    open_console: bool = False
    """Show the console in the user's browser once it answers."""


class DevSystem:
    """Starts, watches and ends the roles. `say` prints a line of one of them, or of ours (named `dev`)."""

    def __init__(
        self,
        settings: Settings,
        wanted: Wanted,
        connect: Callable[[], Log],
        environment: Mapping[str, str],
        say: Callable[[str, str], None],
    ) -> None:
        self._settings = settings
        self._names = TopicNames(settings.prefix)
        self._wanted = wanted
        self._connect = connect
        self._say = say
        self.orchestrator = Child("orchestrator", self._command("orchestrator"), environment, say)
        commands = {
            "worker": self._command("worker", *_options("-m", wanted.modules)),
            "subscriber": self._command(
                "subscriber",
                *_options("-m", wanted.subscriber_modules),
                *_options("-c", map(str, wanted.subscriber_files)),
            ),
        }
        needed = {"worker": wanted.modules, "subscriber": wanted.subscriber_modules}
        self.coded = [
            Child(role, command, environment, say) for role, command in commands.items() if needed[role]
        ]
        """The children that run our modules' code, and start anew when it changes."""
        side = wanted.read_side
        told = {**environment, **({} if side is None else side.variables)}
        self.lasting = [
            self.orchestrator,
            *(
                Child(role, self._command(*arguments), told, say)
                for role, arguments in ({} if side is None else side.commands).items()
            ),
        ]
        """The children whose end is the end of all, whatever is watched."""

    async def run(self) -> int:
        """Run until a signal, or until a child ends by itself: the exit code."""
        stopping = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stopping.set)
        await self._provide()
        async with AsyncExitStack() as opened:
            for child in (self.orchestrator, *self.coded, *self.lasting[1:]):
                opened.push_async_callback(child.stop)
                await child.start()
            telling = asyncio.create_task(self._tell_console())
            opened.callback(telling.cancel)
            self._say("dev", "ready: submit a task from another terminal; Ctrl-C stops everything")
            return await self._until(stopping)

    async def _tell_console(self) -> None:
        """Once it answers: where it is, and in a browser where that is wanted."""
        side = self._wanted.read_side
        if side is None:
            return
        await side.wait_answering()
        self._say("dev", f"console: {side.url}")
        if self._wanted.open_console and not await asyncio.to_thread(webbrowser.open, side.url):
            self._say("dev", "no browser could be opened here")

    async def _provide(self) -> None:
        """Topics, templates, and the topics of the templates' queues. A repeat changes nothing."""
        wanted, names = self._wanted, self._names
        log = self._connect()
        try:
            await log.start()
            count = await partitions_for(
                log, names, configured_partitions(self._settings), usual=DEV_PARTITIONS
            )
            plans = [plan for each in self._load().values() for plan in each]
            queues, namespaces = declared_for(plans)
            created = await create_topics(
                log, names, topic_plan(self._settings, count), queues=queues, namespaces=namespaces
            )
            if created:
                self._say("dev", f"created {len(created)} topics")
            if wanted.templates:
                published = await publish_files(
                    log,
                    names,
                    wanted.templates,
                    publisher="tasker dev",
                    settings=self._settings,
                )
                for each in published:
                    if each.is_new:
                        self._say("dev", f"published {each.namespace}/{each.name}@{each.version}")
        finally:
            await log.close()

    def _load(self) -> dict[Path, list[Plan]]:
        if not self._wanted.templates:
            return {}
        return load_plans(self._wanted.templates, self._settings)

    async def _until(self, stopping: asyncio.Event) -> int:
        """Until told to stop (0), or until a child ends by itself (its code); reloads on the way."""
        modules = {*self._wanted.modules, *self._wanted.subscriber_modules}
        code = FileWatch(map(module_files, sorted(modules)), (".py",))
        templates = FileWatch((*self._wanted.templates, *self._wanted.subscriber_files), (".yaml", ".yml"))
        timeout = LOOK_SECONDS if self._wanted.reload else None
        told = asyncio.create_task(stopping.wait())
        ends = {asyncio.create_task(child.wait()): child for child in (*self.lasting, *self.coded)}
        try:
            while True:
                done, _ = await asyncio.wait(
                    {told, *ends}, timeout=timeout, return_when=asyncio.FIRST_COMPLETED
                )
                if told in done:
                    self._say("dev", "stopping")
                    return 0
                for task in [each for each in ends if each in done]:
                    child = ends.pop(task)
                    if child in self.lasting or not self._wanted.reload:
                        return self._ended(child, task.result())
                    self._say(
                        "dev", f"the {child.name} has ended with code {task.result()}: waiting for a change"
                    )
                if changed := [*code.changes(), *templates.changes()]:
                    for task in [each for each, child in ends.items() if child in self.coded]:
                        task.cancel()
                        del ends[task]
                    await self._reload(changed)
                    ends |= {asyncio.create_task(child.wait()): child for child in self.coded}
        finally:
            for each in (told, *ends):
                each.cancel()

    def _ended(self, child: Child, code: int) -> int:
        self._say("dev", f"the {child.name} has ended with code {code}: stopping everything")
        return code if code > 0 else 1

    async def _reload(self, changed: Sequence[Path]) -> None:
        """Publish what has a new version, then start our code anew. A faulty template is told, and nothing ends."""
        self._say("dev", f"changed: {', '.join(path.name for path in changed)}")
        try:
            await self._provide()
        except LogError:
            raise
        except TaskerError as error:
            self._say("dev", str(error))
        for child in self.coded:
            await child.stop()
            await child.start()

    def _command(self, role: str, *arguments: str) -> list[str]:
        level = ("--log-level", self._wanted.log_level)
        return [sys.executable, "-m", "tasker_kafka.deploy.cli", role, *arguments, *level]


def _options(name: str, values: Iterable[str]) -> list[str]:
    return [part for value in values for part in (name, value)]
