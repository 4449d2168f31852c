"""With a registry in the settings every record of the system has its frame, and the old frame is still read."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from tasker_kafka.handlers import StepContext, step_handler
from tasker_kafka.handlers.testing import WorkflowTest
from tasker_kafka.schemas.codec import Codec, codec
from tasker_kafka.schemas.errors import ConfigurationError, LogError
from tasker_kafka.schemas.records import Command
from tasker_kafka.schemas.settings import InvalidSettings, load_settings
from tasker_kafka.schemas.template import Template
from tasker_kafka.topics.configured import use_configured_registry
from tests.support.record_samples import COMMAND
from tests.support.record_values import kinds


class Registry(ThreadingHTTPServer):
    """A schema registry on this machine that lets only `ada` in."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answering)
        self.schemas: list[str] = []
        self.url = f"http://127.0.0.1:{self.server_address[1]}"


class Answering(BaseHTTPRequestHandler):
    """POST registers, GET gives."""

    @property
    def registry(self) -> Registry:
        assert isinstance(self.server, Registry)
        return self.server

    def do_POST(self) -> None:
        text = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["schema"]
        if self.headers.get("Authorization") != "Basic " + base64.b64encode(b"ada:pass").decode():
            return self.answer(401, {})
        if text not in self.registry.schemas:
            self.registry.schemas.append(text)
        return self.answer(200, {"id": self.registry.schemas.index(text) + 1})

    def do_GET(self) -> None:
        number = int(self.path.rsplit("/", 1)[1])
        self.answer(200, {"schema": self.registry.schemas[number - 1]})

    def answer(self, code: int, body: dict[str, Any]) -> None:
        data = json.dumps(body).encode()
        self.send_response(code)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""


@pytest.fixture
def registry() -> Iterator[Registry]:
    with Registry() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        codec.use_registry(None)
        server.shutdown()
        thread.join()


def use(url: str, password: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REGISTRY_PASSWORD", password)
    section = "TASKER_BROKER__SCHEMA_REGISTRY__"
    environ = {
        f"{section}URL": url,
        f"{section}USERNAME": "ada",
        f"{section}PASSWORD": "env:REGISTRY_PASSWORD",
    }
    use_configured_registry(load_settings(environ=environ))


@step_handler("registry.echo")
def echo(context: StepContext) -> str:
    return "echo"


def test_a_workflow_runs_with_it(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    old = codec.encode(COMMAND)
    use(registry.url, "pass", monkeypatch)
    assert len(registry.schemas) == len(kinds()), "asked for every schema at the start"
    data = codec.encode(COMMAND)
    assert (data[:1], data[5:]) == (b"\x00", old[10:])
    assert codec.decode(old, Command) == codec.decode(data, Command) == COMMAND
    template = Template("hello").step("say", handler="registry.echo")
    with WorkflowTest(templates=[template], handlers=[echo]) as workflow:
        assert workflow.run("hello", {}).output == {"say": "echo"}
    codec.use_registry(None)
    assert codec.encode(COMMAND) == old == Codec().encode(COMMAND)


def test_wrong_credentials_are_known_at_the_start(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ConfigurationError, match=r"refused: HTTP 401.*\n.*credentials"):
        use(registry.url, "wrong", monkeypatch)


def test_a_registry_that_is_away_is_known_at_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    before = codec.encode(COMMAND)
    with pytest.raises(LogError, match=r"127\.0\.0\.1:9 does not answer"):
        use("http://127.0.0.1:9", "pass", monkeypatch)
    assert codec.encode(COMMAND) == before


@pytest.mark.parametrize(
    ("values", "fault"),
    [
        ({"URL": "registry:8081"}, "write http://host:port"),
        ({"URL": "http://ada:pass@registry"}, "holds credentials"),
        ({"URL": "http://registry", "USERNAME": "ada"}, "go together"),
    ],
)
def test_what_cannot_work_is_refused(values: dict[str, str], fault: str) -> None:
    environ = {f"TASKER_BROKER__SCHEMA_REGISTRY__{key}": value for key, value in values.items()}
    with pytest.raises(InvalidSettings, match=fault):
        load_settings(environ=environ)


def test_without_one_nothing_changes() -> None:
    before = codec.encode(COMMAND)
    use_configured_registry(load_settings(environ={}))
    assert codec.encode(COMMAND) == before
