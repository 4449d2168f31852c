"""A reference stands for the very bytes that were stored, or fails with what happened to them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import msgspec
import pytest

from tasker_kafka.schemas.errors import DecodeError, NotFoundError
from tasker_kafka.schemas.records import PayloadRef
from tasker_kafka.topics import provision
from tasker_kafka.topics.declarations import declarations
from tasker_kafka.topics.memory import MemoryLog, run_virtual
from tasker_kafka.topics.names import TopicNames
from tasker_kafka.topics.payloads import Payloads

NAMES = TopicNames("shop")
TASK = bytes(range(16))


def with_payloads(check: Callable[[Payloads], Awaitable[None]]) -> None:
    async def main() -> None:
        log = MemoryLog()
        await provision.create(log.admin(), declarations(NAMES))
        outbox = await log.outbox(client_id="test")
        await outbox.warm([NAMES.payloads])
        await check(Payloads(log, NAMES, outbox))
        await outbox.close()

    run_virtual(main())


def test_what_is_stored_is_fetched() -> None:
    async def check(payloads: Payloads) -> None:
        first, second = [await payloads.store(TASK, data) for data in (b"[1]", b"[2]" * 1000)]
        assert await payloads.fetch(second) == b"[2]" * 1000
        assert await payloads.resolve(first) == b"[1]"
        assert (second.size, len(second.sha256)) == (3000, 32)

    with_payloads(check)


def test_small_values_travel_inline() -> None:
    async def check(payloads: Payloads) -> None:
        assert await payloads.value_for(TASK, None, 4) is None
        assert await payloads.value_for(TASK, b"1234", 4) == b"1234"
        large = await payloads.value_for(TASK, b"12345", 4)
        assert isinstance(large, PayloadRef)
        assert await payloads.resolve(large) == b"12345"
        assert await payloads.resolve(b"12") == b"12"
        assert await payloads.resolve(None) is None

    with_payloads(check)


def test_something_else_at_the_place_is_damage() -> None:
    async def check(payloads: Payloads) -> None:
        ref = await payloads.store(TASK, b"[1]")
        with pytest.raises(DecodeError, match=r"another payload .*00010203-0405"):
            await payloads.fetch(msgspec.structs.replace(ref, sha256=bytes(32)))

    with_payloads(check)


def test_what_is_gone_names_the_retention() -> None:
    async def check(payloads: Payloads) -> None:
        ref = await payloads.store(TASK, b"[1]")
        with pytest.raises(NotFoundError, match="retention"):
            await payloads.fetch(msgspec.structs.replace(ref, offset=99))

    with_payloads(check)


def test_storing_needs_an_outbox() -> None:
    async def check(payloads: Payloads) -> None:
        with pytest.raises(TypeError, match="outbox"):
            await Payloads(payloads._log, NAMES).store(TASK, b"")

    with_payloads(check)
