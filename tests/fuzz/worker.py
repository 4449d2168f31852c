"""Damaged dispatches in front of a step worker, in memory: the handlers of good ones run, and nothing stops it.

A dispatch that decodes is answered, whatever it holds; one that does not is left out. So after the last bad one a good
dispatch is answered, and the committed offset passes every record.
"""

from __future__ import annotations

from random import Random
from typing import Any

from msgspec.structs import replace

from tasker_kafka.handlers import StepContext, step_handler
from tasker_kafka.schemas.codec import codec, encode
from tasker_kafka.schemas.errors import DecodeError
from tasker_kafka.schemas.records import Cancellation, Dispatch, PayloadRef, StepInput, StepResult
from tasker_kafka.topics.log import Write
from tests.contract.worker_rig import Rig

from . import mutate
from .noise import UNKNOWN_FRAMES

__all__ = ["disturb", "one"]

LIFE = 77
"""Of the good dispatches; no mutation makes it by chance."""


@step_handler("one")
async def one(context: StepContext) -> Any:
    """The step of the rig's plan."""
    return {"attempt": context.attempt}


async def disturb(rig: Rig, seed: int, count: int) -> tuple[int, int]:
    """Send `count` bad dispatches, every tenth record a good one; how many were decodable, and how many good ones.

    Returns when every good one is answered with success and the group has committed beyond the last record.
    """
    rng = Random(seed)
    running = await rig.work(one)
    decodable = good = sent = 0
    for number in range(1, count + 1):
        key, value = _bad(rng, rig, number)
        await rig.send_raw(key, value)
        decodable += _is_dispatch(value)
        sent += 1
        if number % 10 == 0:
            good += 1
            await rig.dispatch(1_000_000 + number, life=LIFE)
            sent += 1
        if number % 20 == 0:
            await _cancel_something(rng, rig)
    for number in range(10, count + 1, 10):
        answer = await rig.result(1_000_000 + number)
        assert answer.result == b'{"attempt":1}', answer
    await rig.wait_committed(sent)
    assert not running.task.done(), "the worker has stopped"
    assert len(rig.bodies(StepResult)) >= good
    return decodable, good


def _bad(rng: Random, rig: Rig, number: int) -> tuple[bytes | None, bytes | None]:
    sound = encode(_sound(rng, rig, number))
    changes = (
        lambda: None,
        lambda: b"",
        lambda: mutate.random_bytes(rng),
        lambda: rng.choice(UNKNOWN_FRAMES) + mutate.random_bytes(rng),
        lambda: mutate.flip_bits(rng, sound),
        lambda: mutate.reshape(rng, sound),
        lambda: mutate.avro_fields(rng, "Dispatch", sound),
        lambda: mutate.avro_fields(rng, "Dispatch", sound),
        lambda: mutate.avro_fields(rng, "Dispatch", sound),
        lambda: sound,
    )
    return rng.choice((rng.randbytes(16), None, b"")), rng.choice(changes)()


def _sound(rng: Random, rig: Rig, number: int) -> Dispatch:
    """A dispatch as an engine might write it about a task that means no good."""
    values = (
        b"{}",
        None,
        mutate.json_bytes(rng),
        PayloadRef(rng.choice((0, 99, -1)), rng.choice((0, -1, 1 << 40)), 1, bytes(32)),
    )
    dispatch = rig.make_dispatch(number, rng.choice(("one", "one", "one", "nobody", "\0")))
    return replace(
        dispatch,
        context=rng.choice(values),
        inputs=(StepInput("before", rng.choice(values)),) * rng.randrange(3),
        attempt=rng.choice((1, 1, 0, -1, (1 << 31) - 1)),
        plan_hash=rng.choice((dispatch.plan_hash, dispatch.plan_hash, bytes(32))),
        queue_deadline=rng.choice((None, 0, 1 << 60)),
        traceparent=rng.choice((None, "00-x", "\0", "x" * 5_000)),
    )


async def _cancel_something(rng: Random, rig: Rig) -> None:
    """A cancellation, damaged or about another task."""
    assert rig._outbox is not None
    record = encode(
        Cancellation(life=0, step=rng.choice((None, "one", "\0")), attempt=1, reason="x", at=1 << 60)
    )
    await rig.cancel(rng.randrange(1_000))
    value = rng.choice(
        (None, b"", mutate.flip_bits(rng, record), mutate.avro_fields(rng, "Cancellation", record))
    )
    await rig._outbox.write(Write(rig.names.control, rng.choice((None, b"", rng.randbytes(16))), value))


def _is_dispatch(value: bytes | None) -> bool:
    try:
        codec.decode(value, Dispatch)
    except DecodeError:
        return False
    return True
