"""`tasker subscriber` as a process on a real broker: one process, a process for each group, beside a worker."""

from __future__ import annotations

import asyncio
import json
import select
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tasker_kafka.handlers import DomainEvent, EventPublisher, Subscriber
from tasker_kafka.schemas.plan import EventDeclaration
from tasker_kafka.schemas.words import Delivery, EventCondition
from tasker_kafka.topics.brokers import Broker
from tasker_kafka.topics.kafka import KafkaLog
from tasker_kafka.topics.log import TopicDescription
from tasker_kafka.topics.names import TopicNames
from tests.support import event_subscribers, shop_handlers
from tests.support.patience import PATIENCE_SECONDS
from tests.support.shell import Shell

MODULE = event_subscribers.__name__
PLACED = EventDeclaration("order.placed", Delivery.DURABLE, EventCondition.SUCCESS, key="$.number")
SECONDS = PATIENCE_SECONDS

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]


class Scene:
    """A namespace's topic, a file of what was seen, and a shell to start roles in."""

    def __init__(self, broker: Broker, prefix: str, folder: Path) -> None:
        self.seen_file = folder / "seen"
        self.seen_file.touch()
        self._address, self._prefix = broker.bootstrap_servers, prefix
        self.shell = Shell(
            {"TASKER_BROKER": self._address, "TASKER_PREFIX": prefix, "SEEN": str(self.seen_file)}
        )

    async def provide(self) -> None:
        """The topic, and none besides."""
        log = KafkaLog(self._address)
        await log.start()
        try:
            topic = TopicNames(self._prefix).domain_events("shop")
            await log.admin().create([TopicDescription(topic, 2, 1, {})])
        finally:
            await log.close()

    async def publish(self, *numbers: int) -> None:
        """An order for each number."""
        publisher = EventPublisher("shop", bootstrap=self._address, prefix=self._prefix, declares=[PLACED])
        async with publisher as events:
            for number in numbers:
                await events.publish("order.placed", {"number": number})

    def seen(self, group: str) -> list[dict[str, Any]]:
        """What this group has noted."""
        lines = [json.loads(line) for line in self.seen_file.read_text().splitlines()]
        return [line for line in lines if line["group"] == group]

    def wait_for(self, group: str, *numbers: int) -> list[dict[str, Any]]:
        """Until the group has noted these."""
        until = time.monotonic() + SECONDS
        while not set(numbers) <= {line["number"] for line in self.seen(group)}:
            assert time.monotonic() < until, self.seen_file.read_text()
            select.select([], [], [], 0.05)
        return self.seen(group)


@pytest.fixture
async def scene(kafka: Broker, prefix: str, tmp_path: Path) -> Scene:
    """With its topic."""
    made = Scene(kafka, prefix, tmp_path)
    await made.provide()
    return made


async def test_one_group_without_an_orchestrator_and_without_its_code(scene: Scene) -> None:
    await scene.publish(1, 2)
    with scene.shell.role(
        "subscriber", "-m", MODULE, "--group", "steady", ready="group steady serves record"
    ):
        await scene.publish(3)
        seen = scene.wait_for("steady", 1, 2, 3)
    assert sorted(line["number"] for line in seen) == [1, 2, 3]
    assert seen[0]["heavy"] == []
    await scene.publish(4)
    with scene.shell.role("subscriber", "-m", MODULE, "-g", "steady", ready="group steady serves record"):
        seen = scene.wait_for("steady", 4)
    assert sorted(line["number"] for line in seen) == [1, 2, 3, 4]


async def test_a_file_gives_a_class_its_events_and_config(scene: Scene, tmp_path: Path) -> None:
    file = tmp_path / "subscriptions.yaml"
    file.write_text(
        f"event_subscriptions:\n  - {{handler: '{MODULE}:Noting', events: ['**'], config: {{mark: seven}}}}\n"
    )
    await scene.publish(1)
    with scene.shell.role(
        "subscriber", "--config", str(file), ready="group noting serves Noting.handle_event"
    ):
        assert scene.wait_for("noting", 1)[0]["mark"] == "seven"


async def test_a_handler_that_ends_its_process_ends_no_other_group(scene: Scene) -> None:
    arguments = ("subscriber", "-m", MODULE, "--process-per-group")
    with scene.shell.role(*arguments, ready="group steady serves record") as process:
        pids = below(process.pid)
        await scene.publish(1, 2, 3)
        assert {line["pid"] for line in scene.wait_for("steady", 1, 2, 3)} < set(pids)
        left = scene.wait_for("leaving", 1, 2, 3)
        assert not {line["pid"] for line in left} & set(pids)
        await scene.publish(4)
        assert scene.wait_for("steady", 4)[-1]["pid"] in pids
        children = below(process.pid)
        assert len(children) == 2
    assert not [pid for pid in children if Path(f"/proc/{pid}").exists()]


async def test_beside_a_worker_they_end_with_it_and_never_end_it(scene: Scene, tmp_path: Path) -> None:
    template = tmp_path / "shop.yaml"
    template.write_text(shop_handlers.TEMPLATES)
    scene.shell.json("topics", "create", "--partitions", "2")
    scene.shell.json("template", "publish", str(template))
    scene.shell.json("topics", "create")
    arguments = ("worker", "-m", shop_handlers.__name__, "--with-subscribers", MODULE)
    with scene.shell.role(*arguments, ready="group steady serves record") as worker:
        [first] = below(worker.pid)
        await scene.publish(1)
        # The child as a whole is ended by one of its groups; it comes again, and the worker has not noticed.
        scene.wait_for("leaving", 1)
        [second] = below(worker.pid)
        assert second != first
        assert worker.poll() is None
    assert not Path(f"/proc/{second}").exists()


async def test_on_a_loop_of_the_programs_own(scene: Scene, kafka: Broker, prefix: str) -> None:
    numbers: asyncio.Queue[int] = asyncio.Queue()
    opened: list[str] = []

    @asynccontextmanager
    async def lifespan() -> AsyncIterator[None]:
        opened.append("open")
        try:
            yield
        finally:
            opened.append("closed")

    inner = Subscriber("inner", lifespan=lifespan)

    @inner.on("order.*")
    async def take(event: DomainEvent[dict[str, int]]) -> None:
        await numbers.put(event.payload["number"])

    async def serve_until(*wanted: int) -> None:
        serving = asyncio.create_task(inner.serve(kafka.bootstrap_servers, prefix=prefix))
        for number in wanted:
            assert await asyncio.wait_for(numbers.get(), SECONDS) == number
        serving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await serving

    await scene.publish(1)
    await serve_until(1)
    await scene.publish(2)
    await serve_until(2)
    assert opened == ["open", "closed"] * 2


async def test_what_cannot_be_served_is_told_with_its_exit_code(scene: Scene) -> None:
    ran = scene.shell.run("subscriber", "-m", MODULE, "--group", "stedy")
    assert (ran.returncode, "did you mean `steady`?" in ran.stderr) == (78, True)
    ran = scene.shell.run(
        "worker", "-m", shop_handlers.__name__, "--with-subscribers", shop_handlers.__name__
    )
    assert (ran.returncode, "no subscriber in" in ran.stderr) == (78, True)


def below(pid: int) -> list[int]:
    """The direct children of a process."""
    return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
