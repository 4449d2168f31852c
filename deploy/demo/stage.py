"""The system that the demo plays on: topics, templates, an orchestrator, a worker, subscribers, a client, and a console
where its extra is installed; on a broker.

Roles are child processes that run what anyone would run (`tasker orchestrator`, `tasker worker -m …`). They end in
every case: with the block, or by themselves when this process is gone.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Final, Self

from tasker_kafka.deploy.children import Child
from tasker_kafka.deploy.examples import TEMPLATES
from tasker_kafka.deploy.provisioning import create_topics
from tasker_kafka.deploy.read_side import ReadSide, is_installed
from tasker_kafka.deploy.template_files import load_plans, publish_files
from tasker_kafka.deploy.wiring import topic_plan
from tasker_kafka.schemas.errors import TaskerError
from tasker_kafka.schemas.settings import Settings, load_settings
from tasker_kafka.topics.brokers.files import write_whole
from tasker_kafka.topics.client import TaskClient
from tasker_kafka.topics.declarations import declared_for
from tasker_kafka.topics.kafka.configured import configured_log
from tasker_kafka.topics.log import Log
from tasker_kafka.topics.names import TopicNames
from tasker_kafka.topics.plans import PlanStore

__all__ = ["ACTOR", "RoleEnded", "Stage"]

ACTOR: Final = "operator@demo"
SETTINGS: Final = Path(__file__).parent / "settings"
HANDLERS: Final = "tasker_kafka.deploy.examples"
SUBSCRIBERS: Final = "tasker_kafka.deploy.examples.subscribers"
ROLES: Final[Mapping[str, tuple[str, ...]]] = {
    "orchestrator": ("tasker_kafka.streams.runtime.orchestrator", "orchestrator"),
    "worker": (HANDLERS, "worker", "--module", HANDLERS),
    "subscriber": (SUBSCRIBERS, "subscriber", "--module", SUBSCRIBERS),
}
"""What each role loads first, and its command."""
LOADED_TO_READ: Final = {
    "projector": "tasker_kafka.streams.projection",
    "console": "tasker_kafka.deploy.console.app",
}
"""What the two processes of the read side load first."""


class RoleEnded(TaskerError):
    """A role ended before the stories did."""


class Stage:
    """Use as `async with`; afterwards nothing that was started is running."""

    log: Log
    names: TopicNames
    plans: PlanStore
    client: TaskClient
    _settings: Settings
    _bootstrap: str
    _gate: Path
    read_side: ReadSide | None
    """Projector and console; None where their libraries are not installed."""

    def __init__(self, shop_url: str) -> None:
        self._shop_url = shop_url
        self._open = AsyncExitStack()
        self._children: dict[str, Child] = {}
        self._lines: dict[str, list[str]] = {}

    async def __aenter__(self) -> Self:
        """Start the roles: they load, and wait to be told where the broker is."""
        folder = Path(self._open.enter_context(TemporaryDirectory(prefix="tasker-demo-")))
        self._gate = folder / "broker"
        settings = load_settings(SETTINGS, environ={})
        self.read_side = ReadSide.of(settings, folder / "projection.sqlite") if is_installed() else None
        self._open.push_async_callback(self.stop_roles)
        try:
            for name, (module, *arguments) in self._roles().items():
                command = [sys.executable, "-m", f"{__package__}.role", str(self._gate), module, *arguments]
                self._lines[name] = []
                self._children[name] = Child(name, command, self._environment(), self._keep)
                await self._children[name].start()
        except BaseException:
            await self._open.aclose()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._open.aclose()

    async def connect(self, bootstrap: str) -> None:
        """Connect to this broker."""
        self._settings = load_settings(SETTINGS, environ={"TASKER_BROKER": bootstrap})
        self._bootstrap = bootstrap
        self.names = TopicNames(self._settings.prefix)
        self.log = configured_log(self._settings, client_id="demo")
        self._open.push_async_callback(self.log.close)
        await self.log.start()
        self.plans = PlanStore(self.log, self.names)
        self.client = TaskClient(self.log, self.names, self.plans, actor=ACTOR)

    async def provide(self) -> tuple[int, int]:
        """Create the topics and publish the examples' templates: how many of both."""
        plans = [plan for each in load_plans([TEMPLATES]).values() for plan in each]
        queues, namespaces = declared_for(plans)
        wanted = topic_plan(self._settings, self._settings.topics.partitions)
        created = await create_topics(self.log, self.names, wanted, queues=queues, namespaces=namespaces)
        published = await publish_files(self.log, self.names, [TEMPLATES], publisher=ACTOR)
        await self.plans.start()
        self._open.push_async_callback(self.plans.stop)
        await self._open.enter_async_context(self.client)
        return len(created), len(published)

    def open_gate(self) -> None:
        """Let the roles go on. Requests may be sent before they are ready: they wait in Kafka."""
        write_whole(self._gate, self._bootstrap.encode())

    async def stop_roles(self) -> None:
        """End all; what has already ended is left as it is."""
        children, self._children = self._children, {}
        await asyncio.gather(*(child.stop() for child in children.values()))

    async def wait_ended(self) -> None:
        """Wait until a role ends by itself, which none should: RoleEnded."""
        waits = {asyncio.create_task(child.wait(), name=name) for name, child in self._children.items()}
        try:
            done, _ = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for each in waits:
                each.cancel()
        ended = done.pop()
        raise RoleEnded(f"the {ended.get_name()} has ended with code {ended.result()}")

    def role_logs(self) -> Mapping[str, list[str]]:
        """What each role has printed so far."""
        return self._lines

    def _roles(self) -> Mapping[str, tuple[str, ...]]:
        side = {} if self.read_side is None else self.read_side.commands
        return {**ROLES, **{name: (LOADED_TO_READ[name], *command) for name, command in side.items()}}

    def _keep(self, name: str, line: str) -> None:
        self._lines[name].append(line)

    def _environment(self) -> dict[str, str]:
        """This process's variables but for those that are settings: the demo has its own."""
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("TASKER_", "TELEMETRY_", "OTEL_"))
        }
        side = {} if self.read_side is None else self.read_side.variables
        return {
            **kept,
            **side,
            "TASKER_CONFIG": str(SETTINGS),
            "SHOP_URL": self._shop_url,
            "TMPDIR": str(self._gate.parent),
            "PYTHONUNBUFFERED": "1",
        }
