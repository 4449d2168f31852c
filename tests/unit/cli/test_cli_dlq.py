"""`tasker dlq` on queues in memory: what is shown, what is hidden, what is done, and how the commands end."""

from __future__ import annotations

import asyncio
import json
import stat
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import pytest

from tasker_kafka.deploy.cli import dlq_acts
from tasker_kafka.deploy.cli.progress import Progress
from tasker_kafka.handlers.delivery.journey import FailureClass, Journey
from tasker_kafka.topics.log import Record
from tasker_kafka.topics.memory import MemoryCluster
from tests.support.dead_letter_world import LetterWorld, original
from tests.support.log_sides import MemorySide

Tasker = Callable[..., Any]
T = TypeVar("T")
SECRET = b'{"amount": 7, "card": {"number": "4111 1111 1111 1111"}, "password": "hunter2hunter2"}'

PAY = """
namespace: shop
name: pay
steps:
  - name: charge
    handler: {callable: pay.charge}
    publishes_events:
      - name: payment.charged
        delivery: durable
        version: "1.0"
        schema: {type: object, properties: {amount: {type: number}}, required: [amount]}
"""


class Queue:
    """The dead letters of the system that the commands talk to."""

    def __init__(self, cluster: MemoryCluster) -> None:
        self._side = MemorySide("tasker")
        self._side.cluster = cluster

    def do(self, work: Callable[[LetterWorld], Awaitable[T]]) -> T:
        """Do something with the queue."""

        async def run() -> T:
            return await work(await LetterWorld.make(self._side, groups=("audit", "billing")))

        return asyncio.run(run())

    def die(self, *numbers: int, **options: Any) -> list[str]:
        """Dead letters of these events: their places."""

        async def work(world: LetterWorld) -> list[str]:
            parts = {
                name: options[name] for name in ("value", "key", "headers", "partition") if name in options
            }
            rest = {name: value for name, value in options.items() if name not in parts}
            return [str(await world.die(original(world.names, each, **parts), **rest)) for each in numbers]

        return self.do(work)

    def redriven(self, group: str = "audit") -> list[tuple[Record, Journey]]:
        """What the group was handed again."""
        return self.do(lambda world: world.redriven(group=group))


@pytest.fixture
def queue(cluster: MemoryCluster) -> Queue:
    """Queues without letters."""
    made = Queue(cluster)
    made.die()
    return made


def foreign(value: bytes) -> dict[str, Any]:
    """Parts of a CloudEvent whose value is JSON."""
    return {"value": value, "headers": (("ce_type", b"card.charged"), ("content-type", b"application/json"))}


class TestList:
    def test_newest_first_and_only_open_ones(self, tasker: Tasker, queue: Queue) -> None:
        first, second = queue.die(1, 2)
        (third,) = queue.die(3, partition=1)
        tasker("dlq", "purge", second)
        rows = tasker("dlq", "list", "--json").json["letters"]
        assert sorted(row["place"] for row in rows) == sorted([first, third])
        rows = tasker("dlq", "list", "--state", "all", "--json").json["letters"]
        assert {row["place"]: row["state"] for row in rows} == {
            first: "open",
            second: "purged",
            third: "open",
        }

    def test_pages_hold_each_letter_once(self, tasker: Tasker, queue: Queue) -> None:
        places = queue.die(*range(7)) + queue.die(*range(7, 12), partition=1)
        found, before = [], None
        while True:
            options = () if before is None else ("--before", before)
            page = tasker("dlq", "list", "--limit", "5", "--json", *options).json
            found += [row["place"] for row in page["letters"]]
            queue.die(99)
            if (before := page["next"]) is None:
                break
        assert sorted(found) == sorted(places)

    @pytest.mark.parametrize(
        ("options", "numbers"),
        [
            (("--group", "billing"), {4}),
            (("--class", "decode"), {2}),
            (("--event", "payment.*", "--group", "audit"), {1, 2}),
            (("--event", "card.*"), {3}),
            (("--key", "customer 1", "--class", "handler"), {1, 3, 4}),
            (("--id", "00000000-0000-0000-0000-000000000002"), {2}),
            (("--namespace", "shop", "--class", "timeout"), set()),
            (("--since", "1h"), {1, 2, 3, 4}),
            (("--until", "1h"), set()),
            (("--since", "2020-01-01T00:00Z", "--until", "2020-01-02T00:00Z"), set()),
            (("--task", "74747474-7474-7474-7474-747474747474", "--group", "billing"), {4}),
            (("--subscription", "other"), {4}),
        ],
    )
    def test_filters(self, tasker: Tasker, queue: Queue, options: tuple[str, ...], numbers: set[int]) -> None:
        queue.die(1)
        queue.die(2, failure=FailureClass.DECODE)
        queue.die(3, **foreign(b"{}"))
        queue.die(4, group="billing", subscription="other")
        rows = tasker("dlq", "list", "--json", *options).json["letters"]
        assert {int(row["event_id"][-2:]) for row in rows} == numbers

    def test_a_namespaces_letters_are_found_in_a_groups_own_queue(self, tasker: Tasker, queue: Queue) -> None:
        (there,) = queue.die(1)
        (own,) = queue.die(2, is_own=True)
        queue.die(3, is_own=True, topic="legacy.orders")
        rows = tasker("dlq", "list", "--namespace", "shop", "--json").json["letters"]
        assert {row["place"] for row in rows} == {there, own}
        ran = tasker("dlq", "redrive", "--namespace", "shop", "--json")
        assert ran.json["letters"] == 2
        assert [journey.offset for _, journey in queue.redriven()] == [2, 1]
        rows = tasker("dlq", "list", "--namespace", "group:audit", "--json").json["letters"]
        assert [row["source"] for row in rows] == ["legacy.orders/0:3"]

    def test_text_of_strangers_neither_tells_secrets_nor_drives_the_terminal(
        self, tasker: Tasker, queue: Queue
    ) -> None:
        queue.die(1, message="\x1b[2J token=abcdefghijklmnop", key=b"ann\x1b[31m")
        ran = tasker("dlq", "list")
        assert "\x1b" not in ran.out
        assert "abcdefghijklmnop" not in ran.out
        assert "payment.charged" in ran.out

    @pytest.mark.parametrize(
        ("options", "code"),
        [
            (("--namespace", "nobody"), 4),
            (("--class", "sad"), 2),
            (("--since", "yesterday"), 2),
            (("--event", "a..b"), 78),
            (("--before", "x"), 1),
        ],
    )
    def test_what_makes_no_sense_is_refused(
        self, tasker: Tasker, queue: Queue, options: tuple[str, ...], code: int
    ) -> None:
        queue.die(1)
        assert tasker("dlq", "list", *options).code == code


class TestShow:
    def test_everything_but_the_secrets(self, tasker: Tasker, queue: Queue) -> None:
        parts = foreign(SECRET)
        parts["headers"] += (("x-api-key", b"4111-key"), ("x-shop", b"berlin"))
        (place,) = queue.die(1, **parts)
        shown = tasker("dlq", "show", place, "--json").json
        assert shown["payload"]["amount"] == 7
        assert shown["payload"]["password"] == "[FILTERED]"
        assert (shown["letter"]["event"], shown["letter"]["failure_class"]) == ("card.charged", "handler")
        for out in (json.dumps(shown), tasker("dlq", "show", place).out):
            assert "4111" not in out
            assert "hunter2" not in out
            assert "card.charged" in out
            assert "berlin" in out

    def test_raw_has_the_bytes(self, tasker: Tasker, queue: Queue) -> None:
        # 16 bytes are not taken for an id.
        (place,) = queue.die(1, **foreign(SECRET), key=b"k" * 16)
        shown = tasker("dlq", "show", place, "--raw", "--json").json["original"]
        assert bytes.fromhex(shown["value"]) == SECRET
        assert bytes.fromhex(shown["key"]) == b"k" * 16
        assert shown["headers"][0] == ["ce_type", b"card.charged".hex()]

    def test_what_is_no_event_says_so(self, tasker: Tasker, queue: Queue) -> None:
        (place,) = queue.die(1, value=b"\xff\x00", headers=(), failure=FailureClass.DECODE)
        shown = tasker("dlq", "show", place, "--json").json
        assert (shown["payload"], shown["metadata"]) == (None, None)
        assert shown["problem"]

    def test_what_was_done_about_it(self, tasker: Tasker, queue: Queue) -> None:
        (place,) = queue.die(1)
        tasker("dlq", "redrive", place, "--actor", "ann", "--reason", "mended", "--set", "amount=8")
        shown = tasker("dlq", "show", place, "--json").json
        assert shown["letter"]["state"] == "redriven"
        (act,) = shown["acts"]
        assert (act["action"], act["actor"], act["reason"], act["changes"]) == (
            "redriven",
            "ann",
            "mended",
            ["amount"],
        )
        assert "by ann, changed amount: mended" in tasker("dlq", "show", place).out

    @pytest.mark.parametrize("place", ["shop/0:99", "shop/9:0", "nobody/0:0", "shop", "shop/0:1"])
    def test_a_place_without_a_letter_is_exit_code_4(self, tasker: Tasker, queue: Queue, place: str) -> None:
        (letter,) = queue.die(1)
        tasker("dlq", "purge", letter)
        assert tasker("dlq", "show", place).code == 4


class TestRedrive:
    def test_by_place_and_never_twice(self, tasker: Tasker, queue: Queue) -> None:
        first, second = queue.die(1, 2)
        done = tasker("dlq", "redrive", first, "--json")
        assert (done.code, done.json["letters"], done.json["first"]) == (0, 1, [first])
        assert "nobody serves audit now" in done.err
        again = tasker("dlq", "redrive", first)
        assert again.code == 1
        assert f"{first} is redriven" in again.err
        both = tasker("dlq", "redrive", first, second, "--json")
        assert (both.code, both.json["first"]) == (0, [second])
        assert both.json["skipped"] == [{"place": first, "state": "redriven"}]
        assert tasker("dlq", "redrive", "--all").code == 0
        assert [record.offset for record, _ in queue.redriven()] == [1, 2]
        assert tasker("dlq", "redrive", first, "--again").code == 0
        assert len(queue.redriven()) == 3

    def test_an_edit_is_held_to_the_declared_schema(
        self, tasker: Tasker, queue: Queue, tmp_path: Path
    ) -> None:
        template = tmp_path / "pay.yaml"
        template.write_text(PAY)
        assert tasker("topics", "create", "--partitions", "1").code == 0
        assert tasker("template", "publish", str(template)).code == 0
        (place,) = queue.die(1)
        refused = tasker("dlq", "redrive", place, "--set", 'amount="much"')
        assert refused.code == 1
        assert "payload.amount" in refused.err
        assert "--force" in refused.err
        assert queue.redriven() == []
        assert tasker("dlq", "redrive", place, "--set", "amount=8").code == 0
        assert tasker("dlq", "redrive", place, "--set", 'amount="much"', "--force", "--again").code == 0
        assert len(queue.redriven()) == 2

    def test_which_letters_has_to_be_said(self, tasker: Tasker, queue: Queue) -> None:
        queue.die(1)
        ran = tasker("dlq", "redrive")
        assert ran.code == 2
        assert "--all" in ran.err
        assert queue.redriven() == []

    def test_a_whole_lane(self, tasker: Tasker, queue: Queue) -> None:
        queue.die(1, 3)
        queue.die(2, key=b"other")
        ran = tasker("dlq", "redrive", "--lane", "customer 1", "--json")
        assert ran.json["groups"] == [{"group": "audit", "letters": 2}]
        assert [record.offset for record, _ in queue.redriven()] == [1, 3]

    def test_a_dry_run_tells_the_order(self, tasker: Tasker, queue: Queue) -> None:
        late, early = queue.die(5, 4)
        ran = tasker("dlq", "redrive", "--all", "--dry-run", "--json")
        assert (ran.json["first"], ran.json["is_dry_run"]) == ([early, late], True)
        assert "2 letters would be redriven (audit 2)" in tasker("dlq", "redrive", "--all", "--dry-run").out
        assert queue.redriven() == []

    def test_save_edit_redrive(self, tasker: Tasker, queue: Queue, tmp_path: Path) -> None:
        (place,) = queue.die(1, **foreign(SECRET))
        file = tmp_path / "payload.json"
        assert tasker("dlq", "show", place, "--save", str(file)).code == 0
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        payload = json.loads(file.read_text())
        assert payload["password"] == "hunter2hunter2"
        assert tasker("dlq", "show", place, "--save", str(file)).code == 78, "it overwrites nothing"
        file.write_text(json.dumps({**payload, "amount": 8}))
        assert tasker("dlq", "redrive", place, "--edit", str(file)).code == 0
        ((record, _),) = queue.redriven()
        assert json.loads(record.value or b"") == {**payload, "amount": 8}

    def test_a_record_that_is_no_event_gets_another_value(
        self, tasker: Tasker, queue: Queue, tmp_path: Path
    ) -> None:
        (place,) = queue.die(1, value=b"\xff", headers=(), failure=FailureClass.DECODE)
        file = tmp_path / "value"
        file.write_bytes(b"\x00mended")
        told = tasker("dlq", "redrive", place, "--set", "amount=1")
        assert told.code == 1
        assert place in told.err
        assert "--value" in told.err
        assert tasker("dlq", "redrive", place, "--value", str(file)).code == 0
        assert [record.value for record, _ in queue.redriven()] == [b"\x00mended"]

    @pytest.mark.parametrize(
        ("options", "code"),
        [
            (("--all", "--edit", "file"), 2),
            (("shop/0:0", "--set", "a=1", "--value", "file"), 2),
            (("shop/0:0", "--value", "nowhere"), 78),
            (("shop/0:0", "--set", "amount"), 1),
            (("shop/0:0", "--set", "no.such.path=1"), 1),
            (("shop/0:0", "--set", "a..b=1"), 1),
            (("shop/0:0", "--rate", "0"), 2),
            (("shop/0:7",), 4),
        ],
    )
    def test_what_makes_no_sense_is_refused(
        self, tasker: Tasker, queue: Queue, options: tuple[str, ...], code: int
    ) -> None:
        queue.die(1)
        assert tasker("dlq", "redrive", *options).code == code
        assert queue.redriven() == []

    def test_a_group_that_has_no_topic_for_it(self, tasker: Tasker, queue: Queue) -> None:
        queue.die(1, group="gone")
        ran = tasker("dlq", "redrive", "--all")
        assert ran.code == 78
        assert "start a member of the group" in ran.err


class TestPurge:
    @pytest.mark.parametrize("form", [(), ("--json",)])
    def test_a_bar_says_how_far_it_is(
        self, tasker: Tasker, queue: Queue, monkeypatch: pytest.MonkeyPatch, form: tuple[str, ...]
    ) -> None:
        told: list[tuple[str, int, int | None]] = []
        wanted: list[bool] = []

        class Bar(Progress):
            def __init__(self, *, is_wanted: bool = True) -> None:
                super().__init__()
                wanted.append(is_wanted)

            def show(self, name: str, done: int, whole: int | None) -> None:
                told.append((name, done, whole))

        queue.die(1, 2)
        monkeypatch.setattr(dlq_acts, "Progress", Bar)
        assert tasker("dlq", "purge", "--all", *form).code == 0
        assert told == [("letters", 1, None), ("letters", 2, None)]
        assert (True in wanted) is (not form)

    def test_purged_letters_are_gone_from_the_list(self, tasker: Tasker, queue: Queue) -> None:
        (place,) = queue.die(1)
        assert "1 letter purged (audit 1)" in tasker("dlq", "purge", "--all", "--reason", "a test").out
        assert tasker("dlq", "list").out == "no dead letters\n"
        assert tasker("dlq", "redrive", place).code == 1
        assert queue.redriven() == []
