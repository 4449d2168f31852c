"""The classes of bad records: every kind of poison, and records that are sound and wrong.

Each class is a function of a random generator and the scene's material. A record about a good task is only ever one
that must change nothing: another life, attempt or step, or a repetition byte by byte.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import msgspec
from msgspec.structs import replace

from tasker_kafka.schemas.codec import encode
from tasker_kafka.schemas.records import (
    CHECKPOINT_KEY,
    FORGOTTEN_KEY,
    OWNER_KEY,
    Body,
    Dispatch,
    Failure,
    Forget,
    Heartbeat,
    OperatorCommand,
    OwnerMarker,
    StartTask,
    StepResult,
    StepStarted,
    TimerDue,
)
from tasker_kafka.schemas.words import Outcome, TimerKind
from tasker_kafka.topics.log import Headers

from . import mutate
from .samples import Material, body, encoded, request, result_for

__all__ = ["CLASSES", "Noise", "make"]

MIB = 1024 * 1024
UNKNOWN_FRAMES = (b"\xc3\x01" + bytes(8), b"\xc3\x01futurev9", b"\xc3\x01\xff\xff\xff\xff\xff\xff\xff\xff")
REQUESTS, COMMANDS = "task_requests", "commands"


class Noise(msgspec.Struct, frozen=True, kw_only=True):
    """One bad record. `partition` None: where its key belongs."""

    kind: str
    topic: str
    """The attribute of TopicNames."""
    key: bytes | None
    value: bytes | None
    headers: Headers = ()
    partition: int | None = None


TEXT_FIELDS = (
    "step", "worker_id", "actor", "reason", "text", "initiator", "source_system", "idempotency_key",
    "correlation_id", "traceparent",
)  # fmt: skip

Made = tuple[bytes | None, bytes | None]
Maker = Callable[[Random, Material], "Made | Noise"]


# ---------------------------------------------------------------------------------------------- any topic


def _null(rng: Random, material: Material) -> Made:
    return material.victim(rng), None


def _empty(rng: Random, material: Material) -> Made:
    return material.victim(rng), b""


def _random(rng: Random, material: Material) -> Made:
    return material.victim(rng), mutate.random_bytes(rng)


def _unknown_schema(rng: Random, material: Material) -> Made:
    return material.victim(rng), rng.choice(UNKNOWN_FRAMES) + mutate.random_bytes(rng, 100)


def _confluent(rng: Random, material: Material) -> Made:
    return material.victim(rng), b"\0" + rng.randrange(1 << 31).to_bytes(4, "big") + mutate.random_bytes(
        rng, 100
    )


def _oversize(rng: Random, material: Material) -> Made:
    size = rng.choice((900 * 1024, MIB - 200, MIB - 70, MIB, MIB + 1, 2 * MIB))
    start = rng.choice((b"", b"{", b"\xc3\x01", encode(request(rng))[:40]))
    return material.victim(rng), start + bytes(size - len(start))


def _foreign_text(rng: Random, material: Material) -> Made:
    return material.victim(rng), rng.choice(
        (b"<xml/>", b"SELECT 1", b"GET / HTTP/1.1\r\n\r\n", b"\x80\x04\x95cos\nsystem\n")
    )


def _compressed(rng: Random, material: Material) -> Made:
    return material.victim(rng), rng.choice(
        (b"\x1f\x8b\x08", b"\x28\xb5\x2f\xfd", b"\x04\x22\x4d\x18")
    ) + rng.randbytes(200)


def _deep(rng: Random, material: Material) -> Made:
    return material.victim(rng), rng.choice((b"[", b'{"a":', b"\xc3\x01[")) * rng.choice(
        (100, 10_000, 50_000)
    )


# ---------------------------------------------------------------------------------------------- requests


def _request_fields(rng: Random, material: Material) -> Made:
    return rng.randbytes(16), mutate.avro_fields(rng, "TaskRequest", encode(request(rng)))


def _request_json(rng: Random, material: Material) -> Made:
    made = request(rng)
    return rng.randbytes(16), encode(replace(made, context=mutate.json_bytes(rng, made.context)))


def _request_bytes(rng: Random, material: Material) -> Made:
    return rng.randbytes(16), rng.choice((mutate.flip_bits, mutate.reshape))(rng, encode(request(rng)))


def _request_wrong_type(rng: Random, material: Material) -> Made:
    return rng.randbytes(16), rng.choice((encoded(*body(rng, material)), encode(OwnerMarker(0, "x", "1"))))


def _request_again(rng: Random, material: Material) -> Made:
    return None, rng.choice(material.good_requests) if material.good_requests else None


def _request_large_context(rng: Random, material: Material) -> Made:
    size = rng.choice((5_000, 262_143, 262_144, 262_145, 600_000))
    return None, encode(request(rng, context=b'{"count": 1, "a": "%s"}' % (b"x" * (size - 24))))


# ---------------------------------------------------------------------------------------------- commands


def _victim_command(rng: Random, material: Material) -> Made:
    task_id, made = body(rng, material)
    return FORGOTTEN_KEY if isinstance(made, Forget) else task_id, encoded(task_id, made)


def _command_fields(rng: Random, material: Material) -> Made:
    key, value = _victim_command(rng, material)
    assert value is not None, "it was encoded"
    return key, mutate.avro_fields(rng, "Command", value)


def _command_huge(rng: Random, material: Material) -> Made:
    """Sound, and one field nearly fills the record."""
    task_id, made = body(rng, material)
    huge = "x" * rng.choice((60_000, 300_000, 500_000, 1_000_000, 1_047_900, 1_048_200))
    texts = [name for name in TEXT_FIELDS if name in made.__struct_fields__]
    changes: dict[str, object] = dict.fromkeys(rng.sample(texts, min(1, len(texts))), huge)
    if isinstance(made, StepResult):
        changes |= rng.choice(
            (
                {"failure": Failure(type=huge, code="c"), "outcome": Outcome.FAILURE},
                {"failure": Failure(type="t", code=huge), "outcome": Outcome.FAILURE},
                {"failure": Failure(type="t", code="c", message=huge), "outcome": Outcome.FAILURE},
                {"failure": Failure(type="t", code="c", traceback=huge), "outcome": Outcome.FAILURE},
                {"result": huge.encode(), "failure": None, "outcome": Outcome.SUCCESS},
                {"metadata": huge.encode()},
            )
        )
    if isinstance(made, StartTask):
        changes |= rng.choice(
            (
                {"context": huge.encode()},
                {"tags": ("tag",) * 100_000},
                {"bypass_steps": ("one",) * 100_000},
                {},
            )
        )
    if isinstance(made, OperatorCommand):
        changes |= rng.choice(
            ({"tags": ("tag",) * 100_000}, {"steps": ("one",) * 100_000}, {"result": huge.encode()}, {})
        )
    key = FORGOTTEN_KEY if isinstance(made, Forget) else task_id
    return key, encoded(task_id, replace(made, **changes))


def _command_symbols(rng: Random, material: Material) -> Made:
    key, value = _victim_command(rng, material)
    assert value is not None, "it was encoded"
    return key, mutate.unknown_symbols(rng, "Command", value)


def _command_bytes(rng: Random, material: Material) -> Made:
    key, value = _victim_command(rng, material)
    assert value is not None, "it was encoded"
    return key, rng.choice((mutate.flip_bits, mutate.reshape))(rng, value)


def _command_json(rng: Random, material: Material) -> Made:
    if not material.victim_dispatches:
        return _victim_command(rng, material)
    dispatch = rng.choice(material.victim_dispatches)
    made = replace(
        result_for(rng, dispatch),
        outcome=Outcome.SUCCESS,
        result=mutate.json_bytes(rng),
        metadata=mutate.json_bytes(rng),
    )
    return dispatch.task_id, encoded(dispatch.task_id, made)


def _command_wrong_type(rng: Random, material: Material) -> Made:
    return material.victim(rng), encode(request(rng))


def _wrong_key(rng: Random, material: Material) -> Made:
    _, value = _victim_command(rng, material)
    good = rng.choice(material.good_tasks) if material.good_tasks else bytes(16)
    return rng.choice((good, rng.randbytes(16), b"", b"k" * 15, b"k" * 17, b"k" * 2_000)), value


def _null_key(rng: Random, material: Material) -> Made:
    return None, _victim_command(rng, material)[1]


def _zero_id(rng: Random, material: Material) -> Made:
    """The id that is reserved for records of no task."""
    _, made = body(rng, material)
    return bytes(16), encoded(bytes(16), made)


def _reserved_key(rng: Random, material: Material) -> Made:
    return rng.choice((FORGOTTEN_KEY, CHECKPOINT_KEY, OWNER_KEY)), _victim_command(rng, material)[1]


def _wrong_partition(rng: Random, material: Material) -> Noise:
    key, value = _victim_command(rng, material)
    return Noise(kind="", topic=COMMANDS, key=key, value=value, partition=rng.randrange(3))


def _headers(rng: Random, material: Material) -> Noise:
    """Headers that nobody would write, on a record that is sound or not."""
    topic = rng.choice((REQUESTS, COMMANDS))
    key, value = _victim_command(rng, material) if topic == COMMANDS else (None, encode(request(rng)))
    found: Headers = rng.choice(
        (
            (("tasker-owner", b"99999999999"),),
            (("tasker-owner", b"-1"), ("traceparent", b"\xff\xfe")),
            (("traceparent", b"00-" + b"0" * 5_000),),
            tuple((f"h{number}", b"v") for number in range(3_000)),
            (("h" * 30_000, b"v" * 300_000),),
            (("", b""), ("\0", b"\0"), ("tasker-owner", b"9" * 400)),
            (("content-encoding", b"gzip"), ("__proto__", b"{}")),
        )
    )
    return Noise(kind="", topic=topic, key=key, value=rng.choice((value, value, b"poison")), headers=found)


# ------------------------------------------------------------------------------- about good tasks: no effect


def _elsewhere(rng: Random, material: Material) -> Made:
    """For a good task, and of another life, attempt or step."""
    if not material.good_dispatches:
        return _null(rng, material)
    dispatch = rng.choice(material.good_dispatches)
    wrong = rng.choice(
        (
            {"life": rng.choice((-1, 0, dispatch.life + 1, dispatch.life - 1, (1 << 63) - 1))},
            {"attempt": rng.choice((0, -1, dispatch.attempt + 50, (1 << 31) - 1))},
            {"step": rng.choice(("nobody", "", "\0", "a" * 70_000))},
        )
    )
    other = replace(dispatch, **wrong)
    made: Body = rng.choice((_any_result, _any_start, _any_beat, _any_timer))(rng, other)
    return dispatch.task_id, encoded(dispatch.task_id, made)


def _any_result(rng: Random, dispatch: Dispatch) -> StepResult:
    return result_for(rng, dispatch)


def _any_start(rng: Random, dispatch: Dispatch) -> StepStarted:
    return StepStarted(
        life=dispatch.life, step=dispatch.step, attempt=dispatch.attempt, worker_id="w", started_at=1
    )


def _any_beat(rng: Random, dispatch: Dispatch) -> Heartbeat:
    return Heartbeat(life=dispatch.life, step=dispatch.step, attempt=dispatch.attempt)


def _any_timer(rng: Random, dispatch: Dispatch) -> TimerDue:
    kind = rng.choice((TimerKind.RETRY, TimerKind.RUN_TIMEOUT, TimerKind.HEARTBEAT, TimerKind.QUEUE_TIMEOUT))
    return TimerDue(life=dispatch.life, kind=kind, due_at=0, step=dispatch.step, attempt=dispatch.attempt)


def _anothers_heartbeat(rng: Random, material: Material) -> Made:
    """For a long step of a good task, of an attempt or a life that is not there."""
    if not material.long_dispatches:
        return _null(rng, material)
    dispatch = rng.choice(material.long_dispatches)
    life, attempt = rng.choice(
        (
            (dispatch.life, 2),
            (dispatch.life, (1 << 31) - 1),
            (dispatch.life + 1, 1),
            ((1 << 63) - 1, 1),
            (0, 0),
        )
    )
    return dispatch.task_id, encoded(
        dispatch.task_id, Heartbeat(life=life, step=dispatch.step, attempt=attempt)
    )


def _result_again(rng: Random, material: Material) -> Made:
    """A good task's result once more: the worker was in doubt."""
    return rng.choice(material.good_results) if material.good_results else _null(rng, material)


def _too_early(rng: Random, material: Material) -> Made:
    """A timer of a good task that is not due for years."""
    if not material.good_dispatches:
        return _null(rng, material)
    dispatch = rng.choice(material.good_dispatches)
    made = TimerDue(
        life=dispatch.life,
        kind=rng.choice((TimerKind.DEADLINE, TimerKind.STALENESS, TimerKind.NOT_BEFORE)),
        due_at=1 << 52,
    )
    return dispatch.task_id, encoded(dispatch.task_id, made)


CLASSES: dict[str, tuple[int, tuple[str, ...], Maker]] = {
    "null value": (2, (REQUESTS, COMMANDS), _null),
    "empty value": (2, (REQUESTS, COMMANDS), _empty),
    "random bytes": (5, (REQUESTS, COMMANDS), _random),
    "unknown schema, future version": (3, (REQUESTS, COMMANDS), _unknown_schema),
    "registry frame without a registry": (2, (REQUESTS, COMMANDS), _confluent),
    "another protocol": (2, (REQUESTS, COMMANDS), _foreign_text),
    "compressed inside": (2, (REQUESTS, COMMANDS), _compressed),
    "deep nesting": (1, (REQUESTS, COMMANDS), _deep),
    "oversize": (1, (REQUESTS, COMMANDS), _oversize),
    "headers": (2, (), _headers),
    "request: fields at their edges": (14, (REQUESTS,), _request_fields),
    "request: JSON of the context": (8, (REQUESTS,), _request_json),
    "request: bytes": (8, (REQUESTS,), _request_bytes),
    "request: another type": (2, (REQUESTS,), _request_wrong_type),
    "request: a good one again": (3, (REQUESTS,), _request_again),
    "request: context at its limit": (1, (REQUESTS,), _request_large_context),
    "command: sound, any kind": (12, (COMMANDS,), _victim_command),
    "command: fields at their edges": (22, (COMMANDS,), _command_fields),
    "command: huge fields": (1, (COMMANDS,), _command_huge),
    "command: unknown symbols": (4, (COMMANDS,), _command_symbols),
    "command: bytes": (12, (COMMANDS,), _command_bytes),
    "command: JSON of a result": (5, (COMMANDS,), _command_json),
    "command: another type": (2, (COMMANDS,), _command_wrong_type),
    "command: wrong key": (3, (COMMANDS,), _wrong_key),
    "command: no key": (2, (COMMANDS,), _null_key),
    "command: id of no task": (2, (COMMANDS,), _zero_id),
    "command: reserved key": (3, (COMMANDS,), _reserved_key),
    "command: wrong partition": (4, (), _wrong_partition),
    "good task: other life, attempt or step": (8, (COMMANDS,), _elsewhere),
    "good task: another's heartbeat": (2, (COMMANDS,), _anothers_heartbeat),
    "good task: result again": (5, (COMMANDS,), _result_again),
    "good task: timer not due": (2, (COMMANDS,), _too_early),
}
"""Name → weight, topics (none: it chooses itself), maker."""


def make(rng: Random, material: Material, only: str = "") -> Noise:
    """One bad record; `only`: of the classes whose name holds this."""
    names = [name for name in CLASSES if only in name]
    kind = rng.choices(names, [CLASSES[name][0] for name in names])[0]
    _, topics, maker = CLASSES[kind]
    made = maker(rng, material)
    if isinstance(made, Noise):
        return replace(made, kind=kind)
    key, value = made
    return Noise(kind=kind, topic=rng.choice(topics), key=key, value=value)
