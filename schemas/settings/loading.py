"""Collects the layers of settings, remembers where each value stood, and reports every fault at once.

pydantic-settings is left out on purpose: importing it costs as much again as pydantic itself, at every command,
and it neither tells where a value came from nor refuses a misspelt variable.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel, ValidationError

from tasker_kafka.schemas.errors import ConfigurationError
from tasker_kafka.schemas.findings import Finding
from tasker_kafka.schemas.nearest import did_you_mean

from .model import DEFAULT_ENVIRONMENT, Settings, field_at

__all__ = [
    "CONFIG_VARIABLE",
    "ENVIRONMENT_VARIABLE",
    "OTHER_VARIABLES",
    "SHORT_VARIABLES",
    "InvalidSettings",
    "load_settings",
]

ENVIRONMENT_VARIABLE: Final = "TASKER_ENV"
CONFIG_VARIABLE: Final = "TASKER_CONFIG"
_PACKAGED: Final = Path(__file__).parent / "environments"
_DEFAULT_DIRECTORY: Final = "config"
SHORT_VARIABLES: Final[Mapping[str, str]] = {
    "TASKER_BROKER": "broker.bootstrap",
    "TASKER_PREFIX": "prefix",
    "TELEMETRY_ENABLED": "telemetry.enabled",
    "OTEL_EXPORTER_OTLP_ENDPOINT": "telemetry.otlp_endpoint",
    "OTEL_SERVICE_NAME": "telemetry.service_name",
    "OTEL_SERVICE_VERSION": "telemetry.service_version",
    "DEPLOYMENT_ENVIRONMENT": "telemetry.deployment_environment",
}
"""Variables with names of their own; every other setting is TASKER_ and its key, `__` for the dots."""
OTHER_VARIABLES: Final = frozenset(
    {
        ENVIRONMENT_VARIABLE,
        CONFIG_VARIABLE,
        "TASKER_BROKER_AOT",
        "TASKER_CHILD_LOG",
        "TASKER_DEV_PARENT",
        "TASKER_JAVA",
        "TASKER_MAVEN_BASE",
        "TASKER_TEST_BROKER",
    }
)
"""Variables of development tools that are no settings."""
_SERVICE_LINK: Final = re.compile(
    r".*_(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT|PORT_\d+_(TCP|UDP|SCTP)(_\w+)?)"
)
"""What Kubernetes sets in every pod for a service that is called tasker-…; none of them is meant for us."""
_ALWAYS_KNOWN: Final = frozenset({DEFAULT_ENVIRONMENT, "test", "production"})
_LARGEST_FILE: Final = 1024 * 1024
_ENVIRONMENT: Final = re.compile(r"[a-z0-9_-]{1,64}")

_Layer = tuple[str, dict[str, Any]]
"""Where the values stand, and the values."""


class InvalidSettings(ConfigurationError):
    """The settings are refused; `findings` holds every fault."""

    def __init__(self, findings: list[Finding]) -> None:
        self.findings = tuple(findings)
        super().__init__(
            "\n".join(["the settings are not valid:", *(f"  {each}" for each in findings)]),
            next_step="`tasker config explain KEY` says what a setting means and where its value came from",
        )


def load_settings(
    directory: Path | str | None = None,
    *,
    environment: str | None = None,
    environ: Mapping[str, str] | None = None,
) -> Settings:
    """The settings of this process. InvalidSettings names every fault, and where it stands.

    directory: holds `base/` and `environments/<env>/`; default TASKER_CONFIG, else `config` if it is there.
    environment: default TASKER_ENV, else `development`.
    environ: default the process's variables; empty ones count as not set.
    """
    variables = {name: value for name, value in (os.environ if environ is None else environ).items() if value}
    chosen = _environment(environment or variables.get(ENVIRONMENT_VARIABLE) or DEFAULT_ENVIRONMENT)
    findings: list[Finding] = []
    layers = [*_packaged(chosen), *_files(_directory(directory, variables), chosen, findings)]
    layers.extend(_variables(variables, findings))
    values, origins = _overlaid(layers)
    try:
        settings = Settings.model_validate(values, context=(chosen, origins))
    except ValidationError as error:
        findings += [
            _finding(dict(each), origins) for each in error.errors(include_url=False, include_input=False)
        ]
        raise InvalidSettings(findings) from None
    if findings:
        raise InvalidSettings(findings)
    return settings


# ----------------------------------------------------------------------------------------------- files


def _environment(name: str) -> str:
    if not _ENVIRONMENT.fullmatch(name):
        raise ConfigurationError(
            f"{ENVIRONMENT_VARIABLE}: {name[:80]!r} is no name of an environment",
            next_step="use a–z, 0–9, _ and -",
        )
    return name


def _directory(given: Path | str | None, variables: Mapping[str, str]) -> Path | None:
    named = given or variables.get(CONFIG_VARIABLE)
    path = Path(named or _DEFAULT_DIRECTORY)
    if path.is_dir():
        return path
    if named:
        raise ConfigurationError(
            f"{path}: there is no such folder of settings",
            next_step=f"mend {CONFIG_VARIABLE}; the folder holds base/*.toml and environments/<env>/*.toml",
        )
    return None


def _packaged(environment: str) -> Iterator[_Layer]:
    path = _PACKAGED / f"{environment}.toml"
    if path.is_file():
        yield f"built in for {environment}", _parse(path.read_bytes())


def _files(directory: Path | None, environment: str, findings: list[Finding]) -> Iterator[_Layer]:
    """The folder's layers: all of base as one, then all of the environment as one."""
    if directory is None:
        return
    known = sorted(each.name for each in (directory / "environments").glob("*") if each.is_dir())
    if known and environment not in {*known, *_ALWAYS_KNOWN}:
        hint = did_you_mean(environment, known, kind="environments")
        message = f"environment `{environment}` has no folder under environments/; {hint}"
        findings.append(Finding(code="unknown_environment", path="", message=message, source=str(directory)))
    for folder in (directory / "base", directory / "environments" / environment):
        owners: dict[str, str] = {}
        for path in sorted(folder.glob("*.toml")):
            values = _read(path, findings)
            for key in _flat(values):
                if key in owners:
                    message = f"the same setting stands in {owners[key]}: keep one of them"
                    findings.append(Finding(code="twice", path=key, message=message, source=str(path)))
                owners.setdefault(key, str(path))
            yield str(path), values


def _read(path: Path, findings: list[Finding]) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            data = file.read(_LARGEST_FILE + 1)
        if len(data) > _LARGEST_FILE:
            raise ValueError(f"larger than {_LARGEST_FILE:,} bytes")
        return _parse(data)
    except (OSError, ValueError, RecursionError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        message = f"cannot be read as TOML: {reason}"
        findings.append(Finding(code="not_toml", path="", message=message, source=str(path)))
        return {}


def _parse(data: bytes) -> dict[str, Any]:
    import tomllib  # 10 ms that a command without files need not pay

    return tomllib.loads(data.decode("utf-8-sig"))


# ------------------------------------------------------------------------------------------- variables


def _variables(variables: Mapping[str, str], findings: list[Finding]) -> Iterator[_Layer]:
    """One layer per variable, in the order of their names; those with short names first."""
    for name, key in SHORT_VARIABLES.items():
        if name in variables:
            yield f"variable {name}", _nested(key, _decoded(key, variables[name]))
    for name in sorted(variables):
        if not name.startswith("TASKER_") or name in OTHER_VARIABLES or name in SHORT_VARIABLES:
            continue
        key = name.removeprefix("TASKER_").lower().replace("__", ".")
        field = field_at(key)
        if field is None or _is_section(field):
            if _SERVICE_LINK.fullmatch(name):
                continue
            known = [*SHORT_VARIABLES, *OTHER_VARIABLES, *(_long_name(each) for each in setting_keys())]
            message = f"unknown variable; {did_you_mean(name, known, kind='variables')}"
            findings.append(
                Finding(code="unknown_variable", path=name, message=message, source="environment")
            )
        else:
            yield f"variable {name}", _nested(key, _decoded(key, variables[name]))


def variable_of(key: str) -> str:
    """The variable that sets a key: `TASKER_EVENTS__DURABLE__DLQ_ENABLED`, or its short name."""
    short = next((name for name, each in SHORT_VARIABLES.items() if each == key), None)
    return short or _long_name(key)


def _long_name(key: str) -> str:
    return "TASKER_" + key.upper().replace(".", "__")


def setting_keys(model: type[BaseModel] = Settings, prefix: str = "") -> Iterator[str]:
    """Every dotted key that holds a value, in the order of the model."""
    for name, field in model.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from setting_keys(kind, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}"


def _is_section(field: Any) -> bool:
    return isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)


def _decoded(key: str, text: str) -> Any:
    """Lists as JSON or with commas between; everything else is text, which pydantic reads by the field's type."""
    field = field_at(key)
    if field is None or not str(field.annotation).startswith("tuple"):
        return text
    if text.lstrip().startswith("["):
        try:
            return json.loads(text)
        except (ValueError, RecursionError):
            return text
    return [each.strip() for each in text.split(",") if each.strip()]


# ---------------------------------------------------------------------------------------------- layers


def _overlaid(layers: list[_Layer]) -> tuple[dict[str, Any], dict[str, str]]:
    """All layers laid over each other, and for each key the last layer that has it."""
    values: dict[str, Any] = {}
    origins: dict[str, str] = {}
    for origin, layer in layers:
        _merge(values, layer)
        origins.update(dict.fromkeys(_flat(layer), origin))
    return values, origins


def _merge(base: dict[str, Any], overlay: Mapping[str, Any]) -> None:
    for key, value in overlay.items():
        if isinstance(value, dict) and isinstance(base.get(key), dict):
            _merge(base[key], value)
        else:
            base[key] = value


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    for key, value in values.items():
        if isinstance(value, dict) and value:
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}"


def _nested(key: str, value: Any) -> dict[str, Any]:
    for part in reversed(key.split(".")):
        value = {part: value}
    return dict(value)


def _finding(error: Mapping[str, Any], origins: Mapping[str, str]) -> Finding:
    location = [str(each) for each in error["loc"]]
    key = ".".join(location)
    message = str(error["msg"])
    if error["type"] == "extra_forbidden":
        message = f"unknown setting; {did_you_mean(location[-1], _known_beside(location), kind='settings')}"
    elif not message[:1].isupper() or error["type"] in {"missing"}:
        pass
    else:
        message = message.replace("Input should be", "must be").replace("Value error, ", "")
    while location and ".".join(location) not in origins:
        location.pop()
    return Finding(code=str(error["type"]), path=key, message=message, source=_origin(key, location, origins))


def _origin(key: str, location: list[str], origins: Mapping[str, str]) -> str:
    """The layer of the value, or for a fault of a whole section the last layer that has something of it."""
    if location:
        return origins[".".join(location)]
    inside = [origin for each, origin in origins.items() if each.startswith(f"{key}.")]
    return inside[-1] if inside else "settings"


def _known_beside(location: list[str]) -> list[str]:
    model: Any = Settings
    for part in location[:-1]:
        model = model.model_fields[part].annotation
    return [*model.model_fields]
