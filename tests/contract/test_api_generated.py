"""The whole API under requests that are generated from its own description: never a defect, always as described.

Over a system in memory that answers: an engine, a worker, and a projection with tasks in several states. Examples are
the same in every run but a long one (`API_EXAMPLES`). The stream of a task that is not final would never end, so
streams end with what is there.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
import uvicorn
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import Case
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tasker_kafka.deploy.console.api.openapi import openapi_document
from tasker_kafka.topics.brokers.wire import free_port
from tests.support.console_world import ConsoleWorld, console_world

IS_LONG = "API_EXAMPLES" in os.environ
EXAMPLES = int(os.environ.get("API_EXAMPLES", "15"))
"""Requests to each operation. `API_EXAMPLES=150` is a long run, with other requests each time."""
pytestmark = [pytest.mark.slow, pytest.mark.timeout(20 * EXAMPLES)]

SHORT_WAIT = "0.2"
PATIENCE = 60.0
OPERATIONS = [
    each.ok()
    for each in schemathesis.openapi.from_dict(openapi_document()).get_all_operations()
    if isinstance(each, Ok)
]
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]


class Served:
    """A console over some tasks, served from a thread with a loop of its own: the generated tests are synchronous."""

    def __init__(self, folder: Any) -> None:
        self.port = free_port()
        self.tasks: list[str] = []
        self._folder = folder
        self._server: uvicorn.Server | None = None
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._live()), name="console")

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        self._thread.start()
        self._ready.wait()
        assert self.tasks, "the world did not come up"

    def stop(self) -> None:
        assert self._server is not None
        self._server.should_exit = True
        self._thread.join()

    async def _live(self) -> None:
        try:
            async with console_world(self._folder) as world:
                config = uvicorn.Config(
                    world.app, port=self.port, lifespan="off", log_config=None, timeout_graceful_shutdown=1
                )
                self._server = uvicorn.Server(config)
                self.tasks = await seed(world)
                serving = asyncio.create_task(self._server.serve())
                while not self._server.started:  # noqa: ASYNC110 - uvicorn tells nobody
                    await asyncio.sleep(0.01)
                self._ready.set()
                await serving
        finally:
            self._ready.set()


async def seed(world: ConsoleWorld) -> list[str]:
    """A task that is done, one that waits for an operator, one that waits for a worker."""
    return [await world.submit(tags=["vip"]), await world.failed(), await world.submit("orphan")]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    made = Served(tmp_path_factory.mktemp("generated"))
    made.start()
    yield made
    made.stop()


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda each: each.label)
def test_no_request_finds_a_defect(operation: Any, served: Served) -> None:
    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        derandomize=not IS_LONG,
        database=None,
        phases=(Phase.explicit, Phase.generate),
        suppress_health_check=[
            HealthCheck.data_too_large,
            HealthCheck.filter_too_much,
            HealthCheck.large_base_example,
            HealthCheck.too_slow,
        ],
    )
    @given(case=operation.as_strategy())
    def check(case: Case[Any]) -> None:
        choose(case, served)
        case.validate_response(case.call(base_url=served.url, timeout=PATIENCE), checks=CHECKS)

    check()


def choose(case: Case[Any], served: Served) -> None:
    """Two of three requests are about tasks that there are; none waits for long, and no stream for ever."""
    parameters, query = case.path_parameters or {}, case.query or {}
    number = len(repr(case.body)) + len(repr(query))
    if "task_id" in parameters and number % 3:
        parameters["task_id"] = served.tasks[number % len(served.tasks)]
    if "wait" in query:
        query["wait"] = SHORT_WAIT
    if isinstance(case.body, dict) and isinstance(pace := case.body.get("per_second"), float):
        case.body["per_second"] = max(pace, 100.0)
    if case.operation.path.endswith("/events"):
        query["follow"] = "false"
        case.query = query
