"""Operator commands of the client, against both logs: sent, answered, refused, or unanswered."""

from __future__ import annotations

import asyncio
from typing import cast

import msgspec
import pytest

from tasker_kafka.schemas.codec import decode
from tasker_kafka.schemas.errors import (
    CommandRejected,
    ConfigurationError,
    WaitTimeout,
)
from tasker_kafka.schemas.identity import format_id, new_request_id
from tasker_kafka.schemas.records import (
    Answer,
    Command,
    OperatorCommand,
    PayloadRef,
)
from tasker_kafka.schemas.words import (
    OperatorAction,
)
from tasker_kafka.topics.client import TaskClient
from tasker_kafka.topics.log import Log, Write
from tasker_kafka.topics.memory import MemoryLog, run_virtual
from tasker_kafka.topics.names import TopicNames
from tasker_kafka.topics.payloads import Payloads
from tests.support.client_scene import (
    Engine,
    Run,
    kafka_run,
    memory_run,
    reject,
)


@pytest.fixture(params=["memory", pytest.param("kafka", marks=pytest.mark.kafka)])
def run(request: pytest.FixtureRequest, prefix: str) -> Run:
    """Runs a check on one of the two logs."""
    if request.param == "memory":
        return memory_run(prefix)
    return kafka_run(prefix, request.getfixturevalue("kafka").bootstrap_servers)


async def answer_next(engine: Engine, code: str, message: str = "") -> OperatorCommand:
    (record,) = await engine.read(engine.names.commands, 1)
    command = decode(record.value, Command)
    body = command.body
    assert isinstance(body, OperatorCommand)
    assert record.key == command.task_id
    await engine.write(command.task_id, answer=Answer(body.command_id, code, message))
    return body


@pytest.mark.parametrize("code", ["accepted", "repeated", "already_cancelled"])
def test_a_command_is_answered(run: Run, code: str) -> None:
    async def check(client: TaskClient, engine: Engine) -> None:
        task_id = new_request_id()
        waiting = asyncio.create_task(
            client.cancel(task_id, actor="me", reason="wrong order", expected_seq=4)
        )
        body = await answer_next(engine, code)
        answer = await waiting
        assert answer is not None
        assert answer.code == code
        assert (body.action, body.actor, body.reason) == (OperatorAction.CANCEL_TASK, "me", "wrong order")
        assert (body.expected_seq, body.steps) == (4, ())

    run(check)


def test_a_refused_command_says_why(run: Run) -> None:
    async def check(client: TaskClient, engine: Engine) -> None:
        task_id = new_request_id()
        waiting = asyncio.create_task(client.retry(format_id(task_id), "pay"))
        body = await answer_next(engine, "unknown_task", "there is no such task")
        assert (body.action, body.steps) == (OperatorAction.RETRY_STEP, ("pay",))
        with pytest.raises(
            CommandRejected, match=r"retry_step of task .* was refused: there is no such task"
        ) as caught:
            await waiting
        assert caught.value.code == "unknown_task"

    run(check)


def test_a_command_refused_unread_is_known_by_its_place(run: Run) -> None:
    async def check(client: TaskClient, engine: Engine) -> None:
        waiting = asyncio.create_task(client.resolve(new_request_id()))
        (record,) = await engine.read(engine.names.commands, 1)
        await reject(engine, record, None, "misrouted")
        with pytest.raises(CommandRejected, match="cart") as caught:
            await waiting
        assert caught.value.code == "misrouted"

    run(check)


def test_a_result_by_hand_travels_by_reference(run: Run) -> None:
    async def check(client: TaskClient, engine: Engine) -> None:
        result = {"text": "y" * 500}
        waiting = asyncio.create_task(client.complete(new_request_id(), "pay", result))
        body = await answer_next(engine, "accepted")
        assert isinstance(body.result, PayloadRef)
        data = await Payloads(engine.log, engine.names).fetch(body.result)
        assert msgspec.json.decode(data) == result
        assert await waiting is not None

    run(check)


def test_a_null_result_by_hand_is_a_result(run: Run) -> None:
    async def check(client: TaskClient, engine: Engine) -> None:
        waiting = asyncio.create_task(client.complete(new_request_id(), "pay", None))
        assert (await answer_next(engine, "accepted")).result == b"null"
        assert await waiting is not None

    run(check)


def test_nobody_answers(run: Run) -> None:
    async def check(client: TaskClient, _engine: Engine) -> None:
        task_id = new_request_id()
        assert await client.set_reason(task_id, "because", wait=False) is None
        with pytest.raises(WaitTimeout, match=r"no answer about set_tags of task .*\n.*same command_id"):
            await client.set_tags(task_id, ["a"], timeout=0.2)

    run(check)


def test_a_client_that_is_not_started_says_so() -> None:
    client = TaskClient(cast("Log", MemoryLog()), TopicNames("x"))

    async def main() -> None:
        with pytest.raises(ConfigurationError, match="not started"):
            await client._write(Write("x", b"", b""))

    run_virtual(main())


def test_connecting_needs_an_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TASKER_BROKER", raising=False)
    with pytest.raises(ConfigurationError, match="TASKER_BROKER"):
        TaskClient.connect()
    monkeypatch.setenv("TASKER_BROKER", "127.0.0.1:1")
    monkeypatch.setenv("TASKER_PREFIX", "shop")
    assert TaskClient.connect()._names == TopicNames("shop")
