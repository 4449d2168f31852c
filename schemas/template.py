"""Templates: read from YAML or built in Python, checked, compiled into plans.

    for model in load_template_file("checkout.yaml"):
        plan = compile_template(model)

Whatever the text, the only error is `InvalidTemplate` (a TemplateError), which names every fault with file, line
and path. The same text, environment and variables always give the same plan, and so the same hash.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from .errors import TemplateError
from .findings import Fault, Finding, InvalidTemplate
from .limits import ENVIRONMENTS, TEMPLATE_BYTES
from .template_builder import Event, Lifecycle, Retry, Template
from .template_compile import compile_template
from .template_environment import canonical
from .template_lint import lint_model, lint_overlays
from .template_models import TemplateModel
from .template_source import TemplateSource
from .template_yaml import InvalidYaml, read_yaml

__all__ = [
    "Event",
    "Finding",
    "InvalidTemplate",
    "Lifecycle",
    "Retry",
    "Template",
    "TemplateModel",
    "compile_template",
    "lint",
    "load_template_file",
    "load_templates",
]

Variables = Mapping[str, str | None]


def load_templates(
    text: str, *, source: str, environment: str | None = None, variables: Variables | None = None
) -> list[TemplateModel]:
    """The templates of a YAML text, one per document.

    source: names the text in messages, as its file name.
    environment: whose overlay is laid over the base; None: the base alone.
    variables: the allow-list of `${VAR}`, with values; None as a value: allowed, but not set.
    """
    sources = _sources(text, source, variables)
    models = [each.model(environment) for each in sources]
    for each, fault in _twins(models):
        sources[each].refuse([fault])
    return models


def load_template_file(
    path: Path | str, *, environment: str | None = None, variables: Variables | None = None
) -> list[TemplateModel]:
    """As `load_templates`, from a UTF-8 file. TemplateError when it cannot be read."""
    return load_templates(_read(Path(path)), source=str(path), environment=environment, variables=variables)


def lint(text: str, *, source: str, variables: Variables | None = None) -> list[Finding]:
    """Every fault and every oddity of a YAML text, in the base and in each environment. Raises nothing."""
    try:
        sources = _sources(text, source, variables)
    except InvalidTemplate as error:
        return [*error.findings]
    found: dict[Finding, None] = {}
    models: list[TemplateModel | None] = []
    for each in sources:
        findings, base = _lint_source(each)
        found.update(dict.fromkeys(findings))
        models.append(base)
    if all(models):
        twins = _twins([each for each in models if each is not None])
        found.update((sources[at].finding(fault), None) for at, fault in twins)
    return [*found]


def _lint_source(source: TemplateSource) -> tuple[list[Finding], TemplateModel | None]:
    base: TemplateModel | None = None
    found: list[Finding] = []
    for environment in (None, *source.environments()[: ENVIRONMENTS.maximum]):
        try:
            model = source.model(environment)
        except InvalidTemplate as error:
            found += error.findings
            continue
        found += [source.finding(each, environment) for each in lint_model(model)]
        base = model if environment is None else base
    if base is not None and not any(each.severity == "error" for each in found):
        found += [source.finding(each) for each in lint_overlays(canonical(source.value, []))]
    return found, base


def _sources(text: str, source: str, variables: Variables | None) -> list[TemplateSource]:
    try:
        documents = read_yaml(text)
    except InvalidYaml as error:
        found = TemplateSource(None, source).finding(error.fault)
        raise InvalidTemplate([msgspec.structs.replace(found, line=error.line)]) from None
    if not documents:
        raise InvalidTemplate(
            [TemplateSource(None, source).finding(Fault((), "empty", "there is no template"))]
        )
    return [TemplateSource(each.value, source, each, variables or {}) for each in documents]


def _twins(models: Sequence[TemplateModel]) -> list[tuple[int, Fault]]:
    """Documents that define a template and version which an earlier one has defined."""
    seen: set[tuple[str, str, str]] = set()
    found = []
    for position, model in enumerate(models):
        identity = (model.namespace, model.name, model.version)
        if identity in seen:
            message = f"{model.namespace}/{model.name} {model.version} is defined twice in this text"
            found.append((position, Fault(("name",), "duplicate_template", message)))
        seen.add(identity)
    return found


def _read(path: Path) -> str:
    try:
        with path.open("rb") as file:
            data = file.read(TEMPLATE_BYTES.maximum + 1)
    except OSError as error:
        raise TemplateError(
            f"{path}: cannot be read: {error.strerror or error}",
            next_step="check the path and the file's rights",
        ) from None
    if TEMPLATE_BYTES.is_exceeded(len(data)):
        message = (
            f"more than {TEMPLATE_BYTES.maximum:,} bytes ({TEMPLATE_BYTES.error}): {TEMPLATE_BYTES.way_out}"
        )
        raise InvalidTemplate(
            [Finding(code=TEMPLATE_BYTES.error, path="", message=message, source=str(path))]
        )
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        message = f"not UTF-8 at byte {error.start}: save it as UTF-8"
        raise InvalidTemplate(
            [Finding(code="not_utf8", path="", message=message, source=str(path))]
        ) from None
