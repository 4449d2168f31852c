"""The states of one partition: bytes until they are touched, objects while they are worked on.

A restart must not decode what nobody asks for, and a checkpoint must not encode what has not changed. So a state
is loaded as bytes, decoded when its task is first touched, and marked dirty when it is replaced; closed tasks
(stubs) are bytes again as soon as a checkpoint has written them. States are immutable: an image taken at the cut
stays right while the lane goes on.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import islice

from tasker_kafka.schemas.codec import Codec
from tasker_kafka.schemas.state import Stub, TaskHead, TaskState
from tasker_kafka.schemas.words import TaskStatus

__all__ = ["Images", "PartitionTable", "TableGauges"]

Images = dict[bytes, "TaskState | Stub | None"]
"""Task id → what to write; None is a tombstone."""


class TableGauges:
    """What the tasks of the partition are doing now, kept up by differences."""

    __slots__ = ("enqueued", "running", "tasks")

    def __init__(self) -> None:
        self.tasks: Counter[TaskStatus] = Counter()
        """Tasks that are not final, by status."""
        self.enqueued = 0
        self.running = 0

    def moved(self, before: TaskHead, after: TaskHead) -> None:
        """A task is now what `after` says."""
        if before.state is not after.state:
            self.tasks[before.state] -= 1
            self.tasks[after.state] += 1
        self.enqueued += after.enqueued - before.enqueued
        self.running += after.in_progress - before.in_progress

    def add(self, head: TaskHead, sign: int) -> None:
        """Count a task in (+1) or out (-1)."""
        self.tasks[head.state] += sign
        self.enqueued += sign * head.enqueued
        self.running += sign * head.in_progress


class PartitionTable:
    """Task id → TaskState or Stub, with the set of what has changed since the last cut.

    `decoded_limit` bounds how many decoded states stay after a checkpoint (not while it is being made).
    """

    def __init__(self, codec: Codec, *, decoded_limit: int) -> None:
        self._codec = codec
        self._decoded_limit = decoded_limit
        self._decoded: dict[bytes, TaskState] = {}
        self._encoded: dict[bytes, bytes] = {}
        self._fresh_stubs: dict[bytes, Stub] = {}
        self._stubs: dict[bytes, bytes] = {}
        self._dirty: Images = {}
        self.gauges = TableGauges()

    # ------------------------------------------------------------------------------------ look up and replace

    def get(self, task_id: bytes) -> TaskState | Stub | None:
        """The task's state; decodes it if nobody has touched it yet."""
        state = self._decoded.get(task_id)
        if state is not None:
            return state
        data = self._encoded.pop(task_id, None)
        if data is not None:
            return self._decode_live(task_id, data)
        fresh = self._fresh_stubs.get(task_id)
        if fresh is not None:
            return fresh
        data = self._stubs.get(task_id)
        return None if data is None else self._codec.decode(data, Stub)

    def is_live(self, task_id: bytes) -> bool:
        """Whether the task is here and not final."""
        return task_id in self._decoded or task_id in self._encoded

    def put(self, task_id: bytes, before: TaskState | Stub | None, after: TaskState | Stub | None) -> None:
        """Replace `before` (what `get` gave) by `after`."""
        self._dirty[task_id] = after
        if isinstance(after, TaskState):
            self._decoded[task_id] = after
            if isinstance(before, TaskState):
                self.gauges.moved(before, after)
                return
            self.gauges.add(after, +1)
            if before is not None:
                self._remove_stub(task_id)
            return
        self._decoded.pop(task_id, None)
        if isinstance(before, TaskState):
            self.gauges.add(before, -1)
        if after is None:
            self._remove_stub(task_id)
        else:
            self._fresh_stubs[task_id] = after

    # ------------------------------------------------------------------------------------------ load

    def load(self, values: dict[bytes, bytes]) -> None:
        """Take over the newest value of every key of the changelog, undecoded."""
        self._encoded = values

    def survey(self) -> Iterator[tuple[bytes, TaskHead | Stub]]:
        """After `load`: every live task's head and every stub, with its key, as each goes to its place.

        What was loaded is taken apart meanwhile: a million stubs must not be in memory twice, and a dict keeps the
        room of all that was ever in it. Keep the key rather than the decoded id: it is in memory already.
        """
        values, self._encoded = self._encoded, {}
        for task_id in list(values):
            data = values.pop(task_id)
            if self._codec.kind_of(data) is Stub:
                self._stubs[task_id] = data
                yield task_id, self._codec.decode(data, Stub)
            else:
                head = self._codec.decode_head(data)
                self._encoded[task_id] = data
                self.gauges.add(head, +1)
                yield task_id, head

    # ------------------------------------------------------------------------------------- checkpoints

    def cut(self) -> Images:
        """What has changed since the last cut. O(1); from now on changes count for the next one."""
        images, self._dirty = self._dirty, {}
        return images

    def settle(self, task_id: bytes, image: TaskState | Stub | None, data: bytes | None) -> None:
        """An image has been written as `data`: a stub that has not changed since goes back to bytes."""
        if data is not None and isinstance(image, Stub) and self._fresh_stubs.get(task_id) is image:
            del self._fresh_stubs[task_id]
            self._stubs[task_id] = data

    def evict(self) -> Iterator[bytes]:
        """Turn the longest decoded clean states beyond the bound to bytes, one with each step of the iterator."""
        surplus = max(0, len(self._decoded) - self._decoded_limit)
        for task_id in list(islice(self._decoded, surplus)):
            state = self._decoded.get(task_id)
            if state is not None and task_id not in self._dirty:
                self._encoded[task_id] = self._codec.encode(state)
                del self._decoded[task_id]
                yield task_id

    # ------------------------------------------------------------------------------------------ views

    def heads(self) -> Iterator[TaskHead]:
        """The head of every task that is not final, as of the call; tasks that go meanwhile are passed over."""
        for task_id in [*self._decoded, *self._encoded]:
            state = self._decoded.get(task_id)
            if state is not None:
                yield state
            elif (data := self._encoded.get(task_id)) is not None:
                yield self._codec.decode_head(data)

    def items(self) -> Iterator[tuple[bytes, TaskState | Stub]]:
        """Everything, decoded (tests and the test kit; the decoded states are not kept)."""
        yield from list(self._decoded.items())
        for task_id, data in list(self._encoded.items()):
            yield task_id, self._codec.decode(data, TaskState)
        yield from list(self._fresh_stubs.items())
        for task_id, data in list(self._stubs.items()):
            yield task_id, self._codec.decode(data, Stub)

    @property
    def live_count(self) -> int:
        """Tasks that are not final."""
        return len(self._decoded) + len(self._encoded)

    @property
    def stub_count(self) -> int:
        """Closed tasks not yet forgotten."""
        return len(self._fresh_stubs) + len(self._stubs)

    @property
    def decoded_count(self) -> int:
        """Tasks held as objects."""
        return len(self._decoded)

    def _decode_live(self, task_id: bytes, data: bytes) -> TaskState:
        state = self._codec.decode(data, TaskState)
        self._decoded[task_id] = state
        return state

    def _remove_stub(self, task_id: bytes) -> None:
        self._fresh_stubs.pop(task_id, None)
        self._stubs.pop(task_id, None)
