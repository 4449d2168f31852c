"""An edit is refused for what it breaks, not for what publishing has masked."""

from __future__ import annotations

import msgspec
import pytest

from tasker_kafka.handlers.delivery.edit_check import edit_check
from tasker_kafka.handlers.delivery.edits import EditFault
from tasker_kafka.schemas.codec import codec
from tasker_kafka.schemas.template import Event, Template
from tasker_kafka.topics.log import Record
from tasker_kafka.topics.names import TopicNames
from tests.support.dead_letter_world import NAMESPACE, event, original

SCHEMA = {
    "type": "object",
    "properties": {"amount": {"type": "number"}, "card": {"type": "integer", "x-redact": True}},
    "required": ["amount"],
}
CHECK = edit_check(
    [
        Template("pay", namespace=NAMESPACE)
        .step("charge", handler="pay.charge", publishes_events=[Event("payment.charged", schema=SCHEMA)])
        .compile()
    ]
)


def letter(payload: bytes, **fields: object) -> Record:
    """An event with this payload, as it lies in its source."""
    made = msgspec.structs.replace(event(1, payload=payload), **fields)
    return original(TopicNames(), 1, value=codec.encode(made))


MASKED = letter(b'{"amount": 7, "card": "[FILTERED]"}')


def test_what_was_masked_before_is_no_fault_of_the_edit() -> None:
    CHECK(MASKED, letter(b'{"amount": 8, "card": "[FILTERED]"}'))
    CHECK(MASKED, letter(b'{"amount": 8}'))


@pytest.mark.parametrize(
    ("payload", "path"),
    [
        (b'{"amount": "much", "card": "[FILTERED]"}', "payload.amount"),
        (b'{"card": "[FILTERED]"}', "amount"),
        (b'{"amount": 7, "card": {}}', "payload.card"),
    ],
)
def test_what_the_edit_breaks_is_refused_with_its_path(payload: bytes, path: str) -> None:
    with pytest.raises(EditFault, match=path):
        CHECK(MASKED, letter(payload))


def test_what_nobody_declares_is_not_checked() -> None:
    CHECK(MASKED, letter(b'{"amount": "much"}', version="2.0"))
    CHECK(MASKED, letter(b'{"amount": "much"}', name="payment.refunded"))
    CHECK(MASKED, original(TopicNames(), 1, value=b"no event"))
