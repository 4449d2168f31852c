"""The registry is asked once per schema, and its failures are told apart from unknown numbers."""

from __future__ import annotations

import json
from collections.abc import Callable

import httpx
import pytest

from tasker_kafka.schemas.codec import Codec
from tasker_kafka.schemas.errors import ConfigurationError, DecodeError, LogError
from tasker_kafka.schemas.records import Command
from tasker_kafka.topics.registry import HttpSchemaRegistry
from tests.support.record_samples import COMMAND

Answer = Callable[[httpx.Request], httpx.Response]


class Fake:
    """A registry that remembers what it was asked."""

    def __init__(self) -> None:
        self.schemas: list[str] = []
        self.asked: list[str] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(f"{request.method} {request.url.path}")
        if request.method == "POST":
            self.schemas.append(json.loads(request.content)["schema"])
            return httpx.Response(200, json={"id": len(self.schemas)})
        number = int(request.url.path.rsplit("/", 1)[1])
        if number > len(self.schemas):
            return httpx.Response(404, json={"error_code": 40403})
        return httpx.Response(200, json={"schema": self.schemas[number - 1]})


def registry(answer: Answer) -> HttpSchemaRegistry:
    return HttpSchemaRegistry("http://registry.test/api", transport=httpx.MockTransport(answer))


def test_records_go_through_it_with_one_question_each() -> None:
    fake = Fake()
    with registry(fake) as shared:
        data = [Codec(shared).encode(COMMAND) for _ in range(3)]
        assert {each[:5] for each in data} == {b"\x00\x00\x00\x00\x01"}
        assert fake.asked == ["POST /api/subjects/tasker.v1.Command/versions"]
        reader = registry(fake)
        for _ in range(3):
            codec = Codec(reader)
            assert codec.kind_of(data[0]) is Command
        assert fake.asked[1:] == ["GET /api/schemas/ids/1"]


def test_an_unknown_number_is_poison_not_a_failure() -> None:
    with pytest.raises(DecodeError, match="no schema 77"):
        Codec(registry(Fake())).decode(b"\x00\x00\x00\x00\x4dbody", Command)


def silent(request: httpx.Request) -> httpx.Response:
    raise httpx.ConnectError("refused", request=request)


def test_a_registry_that_is_away_may_be_asked_again() -> None:
    for answer in (silent, lambda request: httpx.Response(503)):
        with pytest.raises(LogError, match=r"registry\.test") as caught:
            registry(answer).schema_for(1)
        assert caught.value.retryable


@pytest.mark.parametrize(
    "response",
    [
        httpx.Response(401, text="who are you"),
        httpx.Response(409, json={"message": "incompatible"}),
        httpx.Response(200, text="<html>"),
        httpx.Response(200, json=[]),
        httpx.Response(200, json={"id": "1"}),
    ],
)
def test_a_registry_that_refuses_is_a_matter_of_configuration(response: httpx.Response) -> None:
    with pytest.raises(ConfigurationError, match="refused"):
        registry(lambda request: response).id_for("tasker.v1.Command", "{}")
