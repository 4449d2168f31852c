"""Stands in for a payment provider. The token decides what happens, as with the test cards of real ones.

| token | the charge |
|---|---|
| `tok_declined` | is declined, whenever it is tried |
| `tok_busy_2` | meets a busy gateway twice (`tok_busy_<n>`: n times), then succeeds |
| any other | succeeds |
"""

from __future__ import annotations

import hashlib
import re
from typing import Final

from tasker_kafka.handlers import PermanentError, RetryableError

__all__ = ["charge", "reference"]

_BUSY: Final = re.compile(r"tok_busy_([0-9]{1,2})")


def charge(token: str, amount_cents: int, *, idempotency_key: str, attempt: int) -> str:
    """Charge a card: the charge's id, the same for every repeat with the same key.

    PermanentError `card_declined`, RetryableError `gateway_busy`.
    """
    if token == "tok_declined":
        raise PermanentError(f"the bank declined {amount_cents / 100:.2f}", code="card_declined")
    busy = _BUSY.fullmatch(token)
    if busy and attempt <= int(busy[1]):
        raise RetryableError("the payment gateway is busy", code="gateway_busy")
    return reference("ch", idempotency_key)


def reference(kind: str, key: str) -> str:
    """An id that is the same for the same key: `ch_5f2a90c1d3`."""
    return f"{kind}_{hashlib.sha256(key.encode()).hexdigest()[:10]}"
