"""A whole system of real processes on a real broker: topics, orchestrators, workers, load, and a look at the log.

Roles run as users run them (`python -m tasker_kafka.deploy.cli …`), so that what is killed here is what they run.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Sequence
from contextlib import aclosing, asynccontextmanager
from pathlib import Path

from tasker_kafka.schemas.codec import codec
from tasker_kafka.schemas.identity import new_request_id
from tasker_kafka.schemas.plan import Plan
from tasker_kafka.schemas.records import CHECKPOINT_KEY, TaskRequest, Transitions
from tasker_kafka.schemas.state import Stub, TaskState
from tasker_kafka.schemas.template import Template
from tasker_kafka.schemas.words import CLOSED_TASK_STATES
from tasker_kafka.streams.domain import fold
from tasker_kafka.topics.declarations import TopicPlan, declarations, declared_for
from tasker_kafka.topics.history import AcceptedHistory
from tasker_kafka.topics.kafka import KafkaLog
from tasker_kafka.topics.log import Isolation, Outbox, TopicPartition, Write
from tasker_kafka.topics.names import TopicNames
from tasker_kafka.topics.plans import publish
from tasker_kafka.topics.provision import create, publish_schemas

ROOT = Path(__file__).parents[2]
PARTITIONS = 4
SESSION_TIMEOUT_MS = 3_000
# Still running, or stopped as a test stops it: in order, or with a signal.
_WANTED = (None, 0, -signal.SIGTERM, -signal.SIGKILL)


def chain(length: int) -> Plan:
    """Steps one after the other."""
    template = Template(f"chain_{length}")
    for number in range(length):
        parents = [f"step_{number - 1}"] if number else []
        template = template.step(f"step_{number}", handler="test.noop", depends_on=parents)
    return template.compile()


def fan_out(width: int) -> Plan:
    """One step, then `width` beside each other, then one."""
    template = Template(f"fan_out_{width}").step("first", handler="test.noop")
    for number in range(width):
        template = template.step(f"branch_{number}", handler="test.noop", depends_on=["first"])
    return template.step(
        "last", handler="test.noop", depends_on=[f"branch_{number}" for number in range(width)]
    ).compile()


class System:
    """One prefix on one broker. Everything started is stopped at the end of `running`."""

    entry_point = "tasker_kafka.deploy.cli"
    """The module that a role is started with."""

    def __init__(self, bootstrap: str, prefix: str, folder: Path) -> None:
        self.bootstrap = bootstrap
        self.prefix = prefix
        self.names = TopicNames(prefix)
        self.log = KafkaLog(bootstrap)
        self.roles: dict[str, subprocess.Popen[bytes]] = {}
        self.variables: dict[str, str] = {}
        """Further environment variables of roles that are started from now on."""
        self.may_fail: set[str] = set()
        """Roles that the test itself lets end with an error."""
        self._folder = folder
        self._commands: dict[str, list[str]] = {}
        self._outbox: Outbox | None = None
        self.acked = 0

    async def set_up(self, plans: Sequence[Plan]) -> None:
        """Create topics and publish templates."""
        await self.log.start()
        queues, namespaces = declared_for(plans)
        declared = declarations(
            self.names, TopicPlan(partitions=PARTITIONS), queues=queues, namespaces=namespaces
        )
        await create(self.log.admin(), declared)
        await publish_schemas(self.log, self.names)
        await publish(self.log, self.names, plans)
        self._outbox = await self.log.outbox(client_id="tests-load")
        await self._outbox.warm([self.names.task_requests])

    # ----------------------------------------------------------------------------------------- roles

    def start_orchestrator(self, ordinal: int) -> str:
        """An orchestrator process: its name."""
        return self._start(f"orchestrator-{ordinal}", ["orchestrator", "--ordinal", str(ordinal)])

    def start_worker(self, number: int, *, module: str = "tests.support.step_handlers") -> str:
        """A worker process of this module's handlers: its name."""
        return self._start(f"worker-{number}", ["worker", "-m", module])

    def restart(self, name: str) -> None:
        """Start a role that has ended once more."""
        self._start(name, self._commands[name])

    def kill(self, name: str) -> None:
        """kill −9, and wait for the process to be gone."""
        self.roles[name].kill()
        self.roles[name].wait()

    def pause(self, name: str) -> None:
        """SIGSTOP."""
        self.roles[name].send_signal(signal.SIGSTOP)

    def resume(self, name: str) -> None:
        """SIGCONT."""
        self.roles[name].send_signal(signal.SIGCONT)

    def errors_of(self, name: str) -> str:
        """What a role has printed, for messages of failing tests."""
        return (self._folder / f"{name}.log").read_text(errors="replace")[-4000:]

    def check_roles(self) -> None:
        """AssertionError with its last lines when a role has ended with an error that nobody wanted."""
        for name, process in self.roles.items():
            code = process.poll()
            if code not in _WANTED and name not in self.may_fail:
                raise AssertionError(f"{name} ended with {code}:\n{self.errors_of(name)}")

    def start_role(self, name: str, arguments: list[str]) -> str:
        """A role by the arguments of the command line: its name."""
        return self._start(name, arguments)

    def _start(self, name: str, arguments: list[str]) -> str:
        self._commands[name] = arguments
        environment = os.environ | {
            "TASKER_BROKER": self.bootstrap,
            "TASKER_PREFIX": self.prefix,
            "TASKER_ENGINE__SESSION_TIMEOUT_MS": str(SESSION_TIMEOUT_MS),
            "PYTHONPATH": str(ROOT),
            **self.variables,
        }
        with (self._folder / f"{name}.log").open("ab") as output:
            self.roles[name] = subprocess.Popen(
                [sys.executable, "-m", self.entry_point, *arguments],
                env=environment,
                stdout=output,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
            )
        return name

    async def tear_down(self) -> None:
        """Stop every role (SIGTERM, then SIGKILL) and the connection."""
        for process in self.roles.values():
            process.send_signal(signal.SIGCONT)
            process.terminate()
        for process in self.roles.values():
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        await self.log.close()

    # ------------------------------------------------------------------------------------------ load

    async def submit(self, plan: Plan, count: int) -> list[bytes]:
        """Produce `count` requests and wait until they are acknowledged: the task ids."""
        assert self._outbox is not None
        ids = [new_request_id() for _ in range(count)]
        for request_id in ids:
            request = TaskRequest(name=plan.name, context=b"{}", request_id=request_id)
            self._outbox.send(Write(self.names.task_requests, request_id, codec.encode(request)))
        await self._outbox.flush()
        self.acked += count
        return ids

    def transitions(self) -> list[TopicPartition]:
        """The partitions of the transitions topic."""
        return [TopicPartition(self.names.transitions, number) for number in range(PARTITIONS)]

    async def history(self) -> AsyncGenerator[tuple[bytes, Transitions], None]:
        """Every accepted record from the first on, as it arrives: key and record. Ends never."""
        async with aclosing(self._looks()) as looks:
            async for found in looks:
                for key, record in found:
                    yield key, record

    async def wait_closed(self, ids: Iterable[bytes]) -> dict[bytes, list[Transitions]]:
        """Wait until all of these tasks are closed: the accepted records of every task seen till then.

        AssertionError when a role has died meanwhile: without it they may stay open for ever.
        """
        open_ids = set(ids)
        records: dict[bytes, list[Transitions]] = {}
        async with aclosing(self._looks()) as looks:
            while open_ids:
                self.check_roles()
                for key, record in await anext(looks):
                    records.setdefault(key, []).append(record)
                    if _closes(record):
                        open_ids.discard(key)
        return records

    async def _looks(self) -> AsyncGenerator[list[tuple[bytes, Transitions]], None]:
        """What each look at the transitions finds, often nothing. Ends never."""
        accepted = {each: AcceptedHistory() for each in self.transitions()}
        reader = await self.log.reader(dict.fromkeys(self.transitions(), 0))
        try:
            while True:
                found: list[tuple[bytes, Transitions]] = []
                for partition, batch in (await reader.fetch(timeout=0.5)).items():
                    for record in batch.records:
                        decoded = codec.decode_transition_record(record.value or b"")
                        if accepted[partition].accept(record, decoded) and isinstance(decoded, Transitions):
                            found.append((record.key or b"", decoded))
                yield found
        finally:
            await reader.close()

    async def table(self) -> dict[bytes, bytes]:
        """The changelog's newest values, the checkpoints left out."""
        values: dict[bytes, bytes] = {}
        for number in range(PARTITIONS):
            partition = TopicPartition(self.names.task_state, number)
            end = await self.log.end_offset(partition, isolation=Isolation.COMMITTED)
            reader = await self.log.reader({partition: 0})
            while reader.position(partition) < end:
                for batch in (await reader.fetch(timeout=0.5)).values():
                    for record in batch.records:
                        assert record.key is not None
                        if record.value is None:
                            values.pop(record.key, None)
                        else:
                            values[record.key] = record.value
            await reader.close()
        values.pop(CHECKPOINT_KEY, None)
        return values


def _closes(record: Transitions) -> bool:
    return any(each.step is None and each.to_state in CLOSED_TASK_STATES for each in record.transitions)


def folded(records: Sequence[Transitions], plan: Plan) -> TaskState | Stub | None:
    """A task's state, as its records say."""
    state: TaskState | Stub | None = None
    for record in records:
        if record.seq:
            state = fold(state, record, plan)
    return state


@asynccontextmanager
async def running(
    bootstrap: str,
    prefix: str,
    folder: Path,
    plans: Sequence[Plan],
    *,
    orchestrators: int = 1,
    workers: int = 1,
) -> AsyncIterator[System]:
    """A system with its topics, templates and roles."""
    system = System(bootstrap, prefix, folder)
    try:
        await system.set_up(plans)
        for number in range(orchestrators):
            system.start_orchestrator(number)
        for number in range(workers):
            system.start_worker(number)
        yield system
    finally:
        await system.tear_down()
