"""What modules and files together serve: found, named, merged, refused."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tasker_kafka.handlers.modules import import_module
from tasker_kafka.handlers.subscribing import BaseSubscriber, Subscriber
from tasker_kafka.handlers.subscribing.files import Entry
from tasker_kafka.handlers.subscribing.loading import (
    holds_subscribers,
    load_specs,
    only_groups,
    specs_of,
)
from tasker_kafka.schemas.errors import ConfigurationError

Write = Callable[..., str]
NUMBERS = itertools.count()
HEAD = """
from pydantic import BaseModel
from tasker_kafka.handlers import BaseSubscriber, Subscriber

class AlertConfig(BaseModel):
    channel: str

"""
AUDIT = """
class Audit(BaseSubscriber):
    subscribe_to = ("order.placed",)
    async def handle_order_placed(self, event): ...
"""
ALERTS = """
class Alerts(BaseSubscriber):
    config: AlertConfig
    async def handle_event(self, event): ...
"""
BILLING = """
billing = Subscriber("billing")
@billing.on("payment.*")
async def record(event): ...
empty = Subscriber("empty")
"""


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Write]:
    """Writes a package with these submodules' texts and gives its name; it is forgotten at the end."""
    monkeypatch.syspath_prepend(str(tmp_path))
    before = set(sys.modules)

    def make(*parts: str, **below: str) -> str:
        name = f"shown_{next(NUMBERS)}"
        (tmp_path / name).mkdir()
        imports = "".join(f"from . import {each}\n" for each in below)
        (tmp_path / name / "__init__.py").write_text(HEAD + imports + "".join(parts))
        for each, text in below.items():
            (tmp_path / name / f"{each}.py").write_text(HEAD + text)
        return name

    yield make
    for each in set(sys.modules) - before:
        if each.startswith("shown_"):
            del sys.modules[each]


def groups(*modules: str, entries: tuple[Entry, ...] = ()) -> list[str]:
    """The groups that are served."""
    return [each.group for each in load_specs(modules, entries)]


def test_subscribers_and_classes_of_a_package_and_its_submodules(write: Write) -> None:
    name = write(AUDIT, below=BILLING)
    assert groups(name) == ["audit", "billing"]
    assert groups(name, f"{name}.below") == ["audit", "billing"]
    assert holds_subscribers(name)


def test_classes_that_others_define_or_that_are_a_base_do_not_run(write: Write) -> None:
    base = write(AUDIT)
    private = (
        "class _Hidden(BaseSubscriber):\n    subscribe_to = ('a.b',)\n    def handle_a_b(self, event): ...\n"
    )
    name = write(BILLING, private, f"from {base} import Audit\n", ALERTS)
    assert groups(name) == ["billing"]


def test_a_class_added_to_a_subscriber_runs_there_only(write: Write) -> None:
    name = write(AUDIT, "alerts = Subscriber('alerts').add(Audit())\n")
    assert groups(name) == ["alerts"]


def test_a_module_without_any_is_told(write: Write) -> None:
    name = write()
    assert not holds_subscribers(name)
    with pytest.raises(ConfigurationError, match=rf"no subscriber in {name}\n.*@subscriber.on"):
        load_specs([name])
    with pytest.raises(ConfigurationError, match="there is no module 'shown_nothing'"):
        load_specs(["shown_nothing"])


class TestFiles:
    def test_an_entry_gives_config_events_and_group(self, write: Write) -> None:
        entry = Entry(
            handler="Alerts",
            config={"channel": "#a"},
            events=("payment.failed", "refund.*"),
            group="eu-alerts",
            delivery="durable",
        )
        [spec] = load_specs([write(ALERTS)], [entry])
        [one] = spec.subscriptions
        assert (spec.group, one.name) == ("eu-alerts", "Alerts.handle_event")
        assert (one.patterns, one.delivery) == (("payment.failed", "refund.*"), "durable")

    def test_a_class_by_its_path_needs_no_module(self, write: Write) -> None:
        entry = Entry(handler=f"{write(ALERTS)}:Alerts", config={"channel": "#a"}, events=("a.b",))
        assert groups(entries=(entry,)) == ["alerts"]

    def test_the_file_decides_over_a_class_that_would_run_by_itself(self, write: Write) -> None:
        name = write(AUDIT, BILLING)
        assert groups(name, entries=(Entry(handler="Audit", enabled=False),)) == ["billing"]
        assert groups(name, entries=(Entry(handler="Audit", group="other"),)) == ["billing", "other"]
        with pytest.raises(ConfigurationError, match=r"switched off \(event_subscriptions\)"):
            load_specs([write(AUDIT)], [Entry(handler="Audit", enabled=False)])

    def test_two_entries_of_a_class_in_one_group_need_names(self, write: Write) -> None:
        name = write(ALERTS)

        def entry(called: str | None, event: str) -> Entry:
            return Entry(handler="Alerts", config={"channel": "#a"}, events=(event,), name=called)

        [spec] = load_specs([name], [entry("eu", "a.b"), entry("us", "c.d")])
        assert [each.name for each in spec.subscriptions] == ["eu.handle_event", "us.handle_event"]
        with pytest.raises(ConfigurationError, match=r"two subscriptions named Alerts\.handle_event"):
            load_specs([name], [entry(None, "a.b"), entry(None, "c.d")])

    @pytest.mark.parametrize(
        ("entry", "words"),
        [
            (
                Entry(handler="Alrts", source="s.yaml", line=3),
                r"s.yaml:3: .*'Alrts'; did you mean `Alerts`\?",
            ),
            (
                Entry(handler="Alerts", source="s.yaml", line=3),
                r"s.yaml:3: Alerts: config.channel: Field required",
            ),
            (
                Entry(handler="Alerts", source="s.yaml", line=3, config={"chanel": "#a"}),
                r"s.yaml:3: (?s:.*)config.chanel: unknown key; did you mean `channel`",
            ),
            (
                Entry(handler="Alerts", source="s.yaml", line=3, config={"channel": "#a"}),
                "s.yaml:3: Alerts subscribes to nothing",
            ),
            (
                Entry(handler="Alerts", source="s.yaml", config={"channel": "#a"}, events=("task.failed",)),
                "s.yaml: 'task.failed' means system events",
            ),
            (Entry(handler="nowhere:A", source="s.yaml"), "s.yaml: there is no module 'nowhere'"),
        ],
    )
    def test_faults_name_the_entry(self, write: Write, entry: Entry, words: str) -> None:
        with pytest.raises(ConfigurationError, match=words):
            load_specs([write(ALERTS)], [entry])


def test_a_class_that_needs_a_config_points_to_the_file(write: Write) -> None:
    name = write(ALERTS.replace("    async def", "    subscribe_to = ('a.b',)\n    async def"))
    with pytest.raises(
        ConfigurationError,
        match=r"Alerts cannot run by itself: .*config.channel(?s:.*)--config FILE.*handler: Al",
    ):
        load_specs([name])


class TestGroups:
    def test_one_name_stands_for_one_declaration(self, write: Write) -> None:
        with pytest.raises(
            ConfigurationError, match=r"group billing is declared twice \(shown_\d+, shown_\d+\)"
        ):
            load_specs([write(BILLING), write(BILLING)])
        clash = AUDIT + "audit = Subscriber('audit')\n@audit.on('a.b')\ndef take(event): ...\n"
        with pytest.raises(ConfigurationError, match="declared twice"):
            load_specs([write(clash)])

    def test_classes_may_share_a_group_if_they_agree(self, write: Write) -> None:
        two = AUDIT + AUDIT.replace("Audit", "Other")
        shared = two.replace("    subscribe_to", "    group = 'both'\n    subscribe_to")
        [spec] = load_specs([write(shared)])
        assert len(spec.subscriptions) == len(spec.lifespans) == 2
        differing = shared.replace("group = 'both'", "group = 'both'; ordering = 'none'", 1)
        with pytest.raises(
            ConfigurationError, match="share the group both and differ in ordering: 'none', 'key'"
        ):
            load_specs([write(differing)])

    def test_some_may_be_chosen(self, write: Write) -> None:
        specs = load_specs([write(AUDIT, BILLING)])
        assert only_groups(specs, []) == specs
        assert [each.group for each in only_groups(specs, ["billing"])] == ["billing"]
        with pytest.raises(ConfigurationError, match=r"no group 'biling' here\n.*did you mean `billing`"):
            only_groups(specs, ["biling"])


def test_sources_of_a_test_are_whatever_holds_subscribers(write: Write) -> None:
    module = import_module(write(BILLING))

    class Audit(BaseSubscriber):
        subscribe_to = ("a.b",)

        def handle_a_b(self, event: object) -> None: ...

    other = Subscriber("other")
    other.on("a.b")(print)
    found = specs_of([module, Audit, other, other.spec])
    assert [each.group for each in found] == ["audit", "billing", "other"]
    assert [each.group for each in specs_of([Audit()])] == ["audit"]
