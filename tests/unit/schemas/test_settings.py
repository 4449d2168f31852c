"""Loading settings: which layer wins, where a value came from, and what is refused."""
# ruff: noqa: E501 - one row per message

from pathlib import Path
from typing import Any

import pytest

from tasker_kafka.schemas.errors import ConfigurationError
from tasker_kafka.schemas.settings import InvalidSettings, Settings, load_settings


def written(folder: Path, **files: str) -> Path:
    """A settings folder; `base__events="…"` is base/events.toml, `live__x` is environments/live/x.toml."""
    for name, text in files.items():
        place, _, stem = name.partition("__")
        path = folder / (place if place == "base" else f"environments/{place}") / f"{stem}.toml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return folder


def refused(environ: dict[str, str], folder: Path | None = None) -> list[str]:
    with pytest.raises(InvalidSettings) as caught:
        load_settings(folder, environ=environ)
    assert isinstance(caught.value, ConfigurationError)
    assert "tasker config explain" in str(caught.value)
    return [f"{each.path}: {each.message}" if each.path else each.message for each in caught.value.findings]


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Away from any `config` folder of the place the tests run in."""
    monkeypatch.chdir(tmp_path_factory.mktemp("empty"))


def test_without_anything_the_defaults_hold() -> None:
    settings = load_settings(environ={})
    assert settings == Settings()
    assert settings.environment == "development"
    assert settings.origin("events.enabled") == "default"


def test_later_layers_win_and_the_origin_is_known(tmp_path: Path) -> None:
    folder = written(
        tmp_path,
        base__events="[events.durable]\nmax_delivery_attempts = 4\nvisibility_timeout = 31\ndlq_retention_days = 8\n",
        production__a="[events.durable]\nvisibility_timeout = 32\ndlq_retention_days = 9\n",
        staging__a="[events.durable]\nvisibility_timeout = 99\n",
    )
    environ = {"TASKER_ENV": "production", "TASKER_EVENTS__DURABLE__DLQ_RETENTION_DAYS": "10"}
    settings = load_settings(folder, environ=environ)
    durable = settings.events.durable
    assert (durable.max_delivery_attempts, durable.visibility_timeout, durable.dlq_retention_days) == (
        4,
        32,
        10,
    )
    assert settings.events.fire_and_forget.buffer_size == 10_000
    assert settings.origin("events.durable.max_delivery_attempts") == str(folder / "base/events.toml")
    assert settings.origin("events.durable.visibility_timeout") == str(
        folder / "environments/production/a.toml"
    )
    assert (
        settings.origin("events.durable.dlq_retention_days")
        == "variable TASKER_EVENTS__DURABLE__DLQ_RETENTION_DAYS"
    )
    assert settings.origin("events.fire_and_forget.buffer_size") == "built in for production"
    assert settings.origin("events.durable.dlq_enabled") == "default"


def test_the_production_overrides_are_built_in() -> None:
    events = load_settings(environ={"TASKER_ENV": "production"}).events
    assert events.fire_and_forget.buffer_size == 10_000
    assert events.durable.max_delivery_attempts == 5
    assert events.durable.dlq_retention_days == 30


def test_the_folder_is_config_or_named_by_a_variable(tmp_path: Path) -> None:
    written(tmp_path / "named", base__a='prefix = "one"')
    assert load_settings(environ={"TASKER_CONFIG": str(tmp_path / "named")}).prefix == "one"
    written(Path("config"), base__a='prefix = "two"')
    assert load_settings(environ={}).prefix == "two"


def test_a_named_folder_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="there is no such folder of settings"):
        load_settings(environ={"TASKER_CONFIG": str(tmp_path / "nothing")})


@pytest.mark.parametrize(
    ("variable", "value", "key", "expected"),
    [
        ("TASKER_BROKER", "a:9092, b:9093", "broker.bootstrap", "a:9092,b:9093"),
        ("TASKER_BROKER", "[::1]:9092", "broker.bootstrap", "[::1]:9092"),
        ("TASKER_PREFIX", "team-a", "prefix", "team-a"),
        ("TELEMETRY_ENABLED", "true", "telemetry.enabled", True),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4318", "telemetry.otlp_endpoint", "http://c:4318"),
        ("OTEL_SERVICE_NAME", "shop", "telemetry.service_name", "shop"),
        ("OTEL_SERVICE_VERSION", "1.2", "telemetry.service_version", "1.2"),
        ("DEPLOYMENT_ENVIRONMENT", "eu", "telemetry.deployment_environment", "eu"),
        ("TASKER_WORKER__CONCURRENCY", "7", "worker.concurrency", 7),
        ("TASKER_WORKER__START_REPORT_SECONDS", "0.5", "worker.start_report_seconds", 0.5),
        ("TASKER_EVENTS__ENABLED", "false", "events.enabled", False),
        ("TASKER_TEMPLATES__PATHS", "a.yaml, b", "templates.paths", ("a.yaml", "b")),
        ("TASKER_TEMPLATES__PATHS", '["a,b"]', "templates.paths", ("a,b",)),
        (
            "TASKER_EVENTS__METRICS__HISTOGRAM_BUCKETS",
            "0.5,2",
            "events.metrics.histogram_buckets",
            (0.5, 2.0),
        ),
        ("TASKER_REDACTION__FILTER_MASK", "***", "redaction.filter_mask", "***"),
    ],
)
def test_variables(variable: str, value: str, key: str, expected: Any) -> None:
    settings = load_settings(environ={variable: value})
    found: Any = settings
    for part in key.split("."):
        found = getattr(found, part)
    assert found == expected
    assert type(found) is type(expected)
    assert settings.origin(key) == f"variable {variable}"


def test_the_long_name_of_a_setting_wins_over_its_short_one() -> None:
    environ = {"OTEL_SERVICE_NAME": "short", "TASKER_TELEMETRY__SERVICE_NAME": "long"}
    assert load_settings(environ=environ).telemetry.service_name == "long"


def test_empty_variables_and_service_links_are_passed_over() -> None:
    environ = {
        "TASKER_PREFIX": "",
        "TASKER_PORT": "tcp://10.0.0.1:80",
        "TASKER_SERVICE_HOST": "10.0.0.1",
        "TASKER_SERVICE_PORT_HTTP": "80",
        "TASKER_BROKER_PORT_9092_TCP_ADDR": "10.0.0.1",
        "OTHER": "x",
        "TASKER_JAVA": "/usr/bin/java",
    }
    assert load_settings(environ=environ) == Settings()


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"TASKER_PREFX": "x"}, "TASKER_PREFX: unknown variable; did you mean `TASKER_PREFIX`?"),
        ({"TASKER_WORKER_CONCURRENCY": "1"}, "TASKER_WORKER_CONCURRENCY: unknown variable; did you mean `TASKER_WORKER__CONCURRENCY`?"),
        ({"TASKER_BROKER__BOOTSTRAPS": "a:1"}, "TASKER_BROKER__BOOTSTRAPS: unknown variable; did you mean `TASKER_BROKER__BOOTSTRAP`?"),
        ({"TASKER_EVENTS": "{}"}, "TASKER_EVENTS: unknown variable; did you mean `TASKER_EVENTS__ENABLED`?"),
        ({"TASKER_BROKER": "localhost"}, "broker.bootstrap: 'localhost' is no address; write host:port, several with commas between"),
        ({"TASKER_BROKER": "a:99999"}, "broker.bootstrap: 'a:99999' is no address; write host:port, several with commas between"),
        ({"TASKER_PREFIX": "a.b"}, "prefix: 'a.b' cannot begin the names of topics; write 1 to 64 of a–z, 0–9, _ and -"),
        ({"TASKER_WORKER__CONCURRENCY": "many"}, "worker.concurrency: must be a valid integer, unable to parse string as an integer"),
        ({"TASKER_WORKER__CONCURRENCY": "0"}, "worker.concurrency: must be greater than or equal to 1"),
        ({"TASKER_TEMPLATES__PATHS": "[broken"}, "templates.paths: must be a valid tuple"),
        ({"TASKER_ENGINE__CHECKPOINT_INTERVAL_MS": "249"}, "engine.checkpoint_interval_ms: must be greater than or equal to 250"),
        ({"TASKER_ENGINE__CHECKPOINT_INTERVAL_MS": "501"}, "engine.checkpoint_interval_ms: must be less than or equal to 500"),
        ({"TASKER_ENGINE__HEARTBEAT_MS": "3000"}, "engine: heartbeat_ms must be at most a third of session_timeout_ms"),
        ({"TASKER_WORKER__HEARTBEAT_MS": "5000"}, "worker: heartbeat_ms must be at most a third of session_timeout_ms"),
        ({"TASKER_EVENTS__METRICS__HISTOGRAM_BUCKETS": "2,1"}, "events.metrics: histogram_buckets must be positive and rise, as [0.01, 0.1, 1.0]"),
        ({"TASKER_TELEMETRY__HISTOGRAM_BUCKETS": "0,1"}, "telemetry: histogram_buckets must be positive and rise, as [0.01, 0.1, 1.0]"),
        ({"TASKER_REDACTION__FILTER_PARAMETERS": "/(/"}, "redaction: filter /(/ is no regular expression: missing ), unterminated subpattern at position 0"),
        ({"TASKER_REDACTION__FILTER_PARAMETERS": "-"}, "redaction: filter '-' holds no word"),
        ({"TASKER_EVENTS__DEFAULT_DELIVERY": "sure"}, "events.default_delivery: must be 'fire_and_forget', 'durable' or 'acknowledged'"),
        ({"TASKER_TELEMETRY__SAMPLING_RATIO": "nan"}, "telemetry.sampling_ratio: must be a finite number"),
    ],
)  # fmt: skip
def test_what_is_refused_in_variables(environ: dict[str, str], expected: str) -> None:
    assert refused(environ) == [expected]


def test_every_fault_is_reported_with_its_file(tmp_path: Path) -> None:
    folder = written(
        tmp_path,
        base__broken="[events\n",
        base__events="[events]\nenabld = true\n[events.durable]\nmax_delivery_attempts = 0\n",
        base__others="[workers]\nconcurrency = 1\n[events.durable]\nmax_delivery_attempts = 2\n",
    )
    with pytest.raises(InvalidSettings) as caught:
        load_settings(folder, environ={"TASKER_PREFIX": "A"})
    found = [str(each).replace(f"{folder}/", "") for each in caught.value.findings]
    assert found == [
        "base/broken.toml: cannot be read as TOML: Expected ']' at the end of a table declaration (at line 1, column 8)",
        "base/others.toml: events.durable.max_delivery_attempts: the same setting stands in "
        f"{folder}/base/events.toml: keep one of them".replace(f"{folder}/", ""),
        "variable TASKER_PREFIX: prefix: 'A' cannot begin the names of topics; write 1 to 64 of a–z, 0–9, _ and -",
        "base/events.toml: events.enabld: unknown setting; did you mean `enabled`?",
        "base/others.toml: workers: unknown setting; did you mean `worker`?",
    ]


def test_a_misspelt_environment_is_found(tmp_path: Path) -> None:
    folder = written(tmp_path, staging__a="", live__a="")
    assert refused({"TASKER_ENV": "stagin"}, folder) == [
        "environment `stagin` has no folder under environments/; did you mean `staging`?"
    ]
    for name in ("development", "test", "production", "staging"):
        assert load_settings(folder, environ={"TASKER_ENV": name}).environment == name


@pytest.mark.parametrize("name", ["../x", "A", "a b", "x" * 65])
def test_an_environment_cannot_lead_out_of_the_folder(name: str) -> None:
    with pytest.raises(ConfigurationError, match="is no name of an environment"):
        load_settings(environ={"TASKER_ENV": name})


def test_a_file_that_is_no_text_or_too_large_is_refused(tmp_path: Path) -> None:
    folder = written(tmp_path, base__a="", base__b="")
    (folder / "base/a.toml").write_bytes(b"\xff")
    (folder / "base/b.toml").write_bytes(b"#" * 1_048_577)
    first, second = refused({}, folder)
    assert "cannot be read as TOML" in first
    assert "larger than 1,048,576 bytes" in second


def test_the_broker_address_is_demanded_where_it_is_needed() -> None:
    assert load_settings(environ={"TASKER_BROKER": "a:1"}).broker.address() == "a:1"
    with pytest.raises(
        ConfigurationError, match=r"broker\.bootstrap is not set[\s\S]*TASKER_BROKER=host:port"
    ):
        load_settings(environ={}).broker.address()


def test_the_allow_list_of_template_variables() -> None:
    settings = load_settings(environ={"TASKER_TEMPLATES__VARIABLES": "REGION,ZONE"})
    assert settings.template_variables({"REGION": "eu", "SECRET": "x"}) == {"REGION": "eu", "ZONE": None}
