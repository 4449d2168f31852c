"""A task request as a person writes it: what is taken, and what each mistake is told."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tasker_kafka.deploy.request_files import read_request
from tasker_kafka.schemas.errors import TaskerError
from tasker_kafka.schemas.records import TaskRequest


def read(document: Any, *, template: str | None = None, **given: Any) -> TaskRequest:
    """The request of a JSON document in the file r.json."""
    return read_request(json.dumps(document).encode(), source="r.json", template=template, given=given)


def test_a_whole_request() -> None:
    request = read(
        {
            "name": "order",
            "namespace": "shop",
            "version": "1.2.0",
            "context": {"ünï": 1},
            "tags": ["a"],
            "bypass_steps": ["pay"],
            "request_id": "0197f3c8-7a1e-7c3b-9d7e-2f1a5b6c7d8e",
            "not_before": "2026-01-31T09:30:00Z",
            "initiator": "ada",
        },
        initiator="root@desk",
        reason="why",
    )
    assert (request.name, request.namespace, request.version) == ("order", "shop", "1.2.0")
    assert json.loads(request.context) == {"ünï": 1}
    assert (request.tags, request.bypass_steps, request.reason) == (("a",), ("pay",), "why")
    assert request.initiator == "ada"
    assert request.not_before == 1_769_851_800_000
    assert request.request_id == bytes.fromhex("0197f3c87a1e7c3b9d7e2f1a5b6c7d8e")


@pytest.mark.parametrize(
    ("template", "place"),
    [
        ("order", ("default", "order", None)),
        ("shop/order", ("shop", "order", None)),
        ("shop/order@2.0.0", ("shop", "order", "2.0.0")),
    ],
)
def test_a_context_for_a_template(template: str, place: tuple[str, str, str | None]) -> None:
    request = read({"name": "is part of the context"}, template=template)
    assert (request.namespace, request.name, request.version) == place
    assert json.loads(request.context) == {"name": "is part of the context"}


def test_options_win_but_for_the_initiator() -> None:
    document = {"name": "order", "context": {}, "idempotency_key": "file", "reason": "file"}
    request = read(document, idempotency_key="option", reason=None, initiator="root@desk")
    assert (request.idempotency_key, request.reason, request.initiator) == ("option", "file", "root@desk")


@pytest.mark.parametrize(
    ("document", "told"),
    [
        ({"name": "order", "contxt": {}}, "r.json: a request has no key 'contxt'"),
        ({"context": {}}, "r.json: the request names no template"),
        ({"name": 3}, "r.json: name must be a text"),
        ({"name": "order", "context": []}, "r.json: context must be a JSON object"),
        ({"name": "order", "tags": "a"}, "r.json: tags must be a list of texts"),
        ({"name": "order", "request_id": 7}, "r.json: request_id must be a UUID"),
        ({"name": "order", "request_id": "x"}, "'x' is not an id"),
        ({"name": "order", "not_before": "2026-01-31"}, "not_before must be a time with its zone"),
        ({"name": "order", "not_before": True}, "not_before must be a time with its zone"),
        ({"name": "order", "context": {"text": "x" * 300_000}}, "context"),
        ([], "r.json"),
    ],
)
def test_mistakes_are_told_with_their_place(document: Any, told: str) -> None:
    with pytest.raises(TaskerError) as caught:
        read(document)
    assert told in str(caught.value)


def test_a_request_without_a_context_has_an_empty_one() -> None:
    assert read({"name": "order"}).context == b"{}"


def test_milliseconds_are_a_time_too() -> None:
    assert read({"name": "order", "context": {}, "not_before": 5}).not_before == 5
