"""Every setting explains itself, and every variable that the code reads is known."""

import re
from typing import Any

import pytest

from tasker_kafka.schemas.errors import NotFoundError
from tasker_kafka.schemas.settings import Settings, explain, keys, load_settings, show
from tasker_kafka.schemas.settings.loading import OTHER_VARIABLES, SHORT_VARIABLES, variable_of
from tests.support.source_tree import package_modules

SETTINGS = Settings()
UNITS = ("_seconds", "_ms", "_bytes", "_hours", "_days")
# The first Tasker's keys, kept to the letter.
WITHOUT_UNIT = {"events.durable.visibility_timeout"}


@pytest.mark.parametrize("key", keys())
def test_every_setting_has_meaning_default_and_zero(key: str) -> None:
    (found,) = explain(SETTINGS, key)
    assert found.meaning.endswith(".")
    assert len(found.meaning) >= 15
    assert found.value == found.default == show(SETTINGS)[key]
    assert found.origin == "default"
    if "number" in found.kind and not found.kind.startswith("list"):
        assert found.zero, "numbers say what 0 means"
    if re.search(r"timeout|interval|retention|retain|grace", key) and key not in WITHOUT_UNIT:
        assert key.endswith(UNITS), "times have their unit in the name"


@pytest.mark.parametrize("key", keys())
def test_zero_does_what_is_said(key: str) -> None:
    (found,) = explain(SETTINGS, key)
    if found.zero is None:
        return
    environ = {found.variable: "0"}
    if found.zero.startswith("refused"):
        with pytest.raises(Exception, match=key.replace(".", r"\.")):
            load_settings(environ=environ)
    else:
        assert explain(load_settings(environ=environ), key)[0].value == 0


@pytest.mark.parametrize(
    ("key", "kind", "default"),
    [
        ("prefix", "text", "tasker"),
        ("broker.bootstrap", "text or nothing", None),
        ("topics.partitions", "whole number", 8),
        (
            "broker.security.mechanism",
            "one of PLAIN, SCRAM-SHA-256, SCRAM-SHA-512, OAUTHBEARER or nothing",
            None,
        ),
        ("events.enabled", "true or false", True),
        ("events.default_delivery", "one of fire_and_forget, durable, acknowledged", "fire_and_forget"),
        ("events.fire_and_forget.buffer_size", "whole number", 1_000),
        ("events.fire_and_forget.overflow_strategy", "one of drop_oldest, drop_newest, block", "drop_oldest"),
        ("events.durable.visibility_timeout", "number", 30.0),
        ("events.acknowledged.receipt_deadline_seconds", "number", 300.0),
        ("events.acknowledged.dedup_ttl_seconds", "number", 86_400.0),
        ("events.durable.max_delivery_attempts", "whole number", 3),
        ("events.durable.dlq_enabled", "true or false", True),
        ("events.durable.dlq_retention_days", "whole number", 7),
        ("events.metrics.enabled", "true or false", True),
        ("events.metrics.histogram_buckets", "list of number", [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0]),
        ("worker.start_report_seconds", "number", 2.0),
        ("telemetry.service_name", "text", "tasker"),
        ("redaction.filter_mask", "text", "[FILTERED]"),
        ("broker.security.password", "secret reference or nothing", None),
    ],
)
def test_the_specified_defaults(key: str, kind: str, default: Any) -> None:
    (found,) = explain(SETTINGS, key)
    assert (found.kind, found.default) == (kind, default)


def test_a_section_explains_all_that_is_in_it() -> None:
    assert [each.key for each in explain(SETTINGS, "events.fire_and_forget")] == [
        "events.fire_and_forget.buffer_size",
        "events.fire_and_forget.overflow_strategy",
    ]
    assert {each.key for each in explain(SETTINGS, "events")} > {
        "events.enabled",
        "events.durable.dlq_enabled",
    }


def test_the_present_value_and_its_origin_are_shown() -> None:
    settings = load_settings(environ={"TASKER_WORKER__CONCURRENCY": "7"})
    (found,) = explain(settings, "worker.concurrency")
    assert (found.value, found.default) == (7, 100)
    assert found.origin == f"variable {found.variable}" == "variable TASKER_WORKER__CONCURRENCY"


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("events.durable.dlq_enable", "did you mean `events.durable.dlq_enabled`?"),
        ("event", "did you mean `events`?"),
        ("zzzzz", "nothing similar is known"),
    ],
)
def test_an_unknown_key_names_the_nearest(key: str, expected: str) -> None:
    with pytest.raises(NotFoundError, match=re.escape(expected)):
        explain(SETTINGS, key)


def test_variables_are_unique_and_spell_the_key() -> None:
    names = [variable_of(key) for key in keys()]
    assert len(set(names)) == len(names)
    assert variable_of("events.durable.dlq_enabled") == "TASKER_EVENTS__DURABLE__DLQ_ENABLED"
    assert variable_of("broker.bootstrap") == "TASKER_BROKER"
    assert not set(names) & OTHER_VARIABLES


def test_every_variable_that_the_code_names_is_known() -> None:
    """A role refuses to start on an unknown TASKER_ variable, so one that a tool reads must be on the list."""
    known = {*OTHER_VARIABLES, *SHORT_VARIABLES, *(variable_of(key) for key in keys())}
    named = {
        (found, module.path)
        for module in package_modules()
        for found in re.findall(r"[\"'](TASKER_[A-Z0-9_]*[A-Z0-9])[\"'=]", module.text)
    }
    assert named, "the sources are seen"
    assert {each for each in named if each[0] not in known} == set()
