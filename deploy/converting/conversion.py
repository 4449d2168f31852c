"""One template on its way from the first Tasker's form into ours."""

from __future__ import annotations

import json
import re
from typing import Any, Final

import msgspec
import yaml
from pydantic import BaseModel

from tasker_kafka.schemas.errors import TemplateError
from tasker_kafka.schemas.template import Finding, lint
from tasker_kafka.schemas.template_faults import REFUSED_KEYS
from tasker_kafka.schemas.template_models import (
    STEP_TYPES_TO_COME,
    HandlerModel,
    LifecycleModel,
    RetryModel,
    StepModel,
    TaskEventModel,
    TemplateModel,
)
from tasker_kafka.schemas.template_yaml import InvalidYaml, read_yaml
from tasker_kafka.schemas.words import RESERVED_EVENT_PREFIXES

from . import rules
from .notes import Note, NoteKind
from .shapes import Path, Values, list_at, mapping_at, number_at, path_text
from .words import Dumper, handler_name, merged, snake

__all__ = ["Converted", "convert"]

_VARIABLE: Final = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)")


class Converted(msgspec.Struct, frozen=True, kw_only=True):
    """One template, written anew."""

    text: str
    """YAML."""
    notes: tuple[Note, ...]
    findings: tuple[Finding, ...]
    """What `tasker template lint` says of it."""

    @property
    def has_losses(self) -> bool:
        """Whether the original said something that the new one does not."""
        return any(note.kind is NoteKind.DROPPED for note in self.notes)


def convert(text: str, *, source: str) -> list[Converted]:
    """Every template of a file. TemplateError when it is no YAML, or holds something else."""
    try:
        documents = read_yaml(text)
    except InvalidYaml as error:
        where = "" if error.line is None else f", line {error.line}"
        raise TemplateError(
            f"{source}{where}: {error.fault.message}", next_step="Mend the file, then convert it again."
        ) from None
    return [_converted(each.value, source) for each in documents]


def _converted(value: Any, source: str) -> Converted:
    if not isinstance(value, dict) or not ({"steps", "step_templates"} & value.keys()):
        raise TemplateError(
            f"{source}: this is no template of the first Tasker: it has neither `steps` nor `step_templates`.",
            next_step="Give files with task templates; handler and settings files are not converted.",
        )
    conversion = _Conversion()
    made = conversion.template(value)
    written = yaml.dump(made, Dumper=Dumper, sort_keys=False, allow_unicode=True, width=100)
    variables = dict.fromkeys(conversion.variables, "1")  # text, and a number where one is meant
    return Converted(
        text=written,
        notes=tuple(conversion.notes),
        findings=tuple(lint(written, source=source, variables=variables)),
    )


class _Conversion:
    """One template on its way: what it was, key by key, into what it becomes."""

    def __init__(self) -> None:
        self.notes: list[Note] = []
        self.variables: list[str] = []
        self._namespace = "default"
        self._steps: list[str] = []

    # ------------------------------------------------------------------------------------------- levels

    def template(self, old: Values) -> Values:
        """The whole template."""
        made = self._renamed(old, (), TemplateModel)
        self._name_of_template(made)
        self._identity_of(made)
        if made.get("concurrent") is False:
            del made["concurrent"]
            self._note(NoteKind.CHANGED, ("concurrent",), "written as `max_parallel_steps: 1`")
            made["max_parallel_steps"] = 1
        steps = list_at(made.get("steps"), ("steps",))
        steps = [mapping_at(step, ("steps", at)) for at, step in enumerate(steps)]
        self._steps = [self._word(step.get("name"), ("steps", at, "name")) for at, step in enumerate(steps)]
        if made.get("named_steps") == [step.get("name") for step in steps]:
            del made["named_steps"]
            self._note(NoteKind.EMPTY, ("named_steps",), "it said what `steps` says")
        made["steps"] = [self._step(step, ("steps", at)) for at, step in enumerate(steps)]
        if "lifecycle" in made:
            made["lifecycle"] = self._lifecycle(made["lifecycle"], ("lifecycle",))
        if made.get("publishes_events"):
            events, path = made["publishes_events"], ("publishes_events",)
            made["publishes_events"] = self._events(events, path, "completed")
        if made.get("environments"):
            made["environments"] = {
                str(name): self._overlay(overlay, ("environments", name))
                for name, overlay in mapping_at(made["environments"], ("environments",)).items()
            }
        made = self._kept(made, (), TemplateModel)
        self._find_variables(made)
        return made

    def _step(self, old: Any, path: Path, *, is_overlay: bool = False) -> Values:
        made = self._renamed(old, path, StepModel)
        if "name" in made:
            made["name"] = self._word(made["name"])
        parents = made.get("dependencies")
        if parents:
            parents = [parents] if isinstance(parents, str) else list_at(parents, (*path, "dependencies"))
            made["dependencies"] = [self._word(each) for each in parents]
        self._handler(made, path, is_overlay=is_overlay)
        self._retry(made, path)
        if made.get("publishes_events"):
            made["publishes_events"] = self._events(
                made["publishes_events"], (*path, "publishes_events"), "success"
            )
        kind = str(made.get("type"))
        if kind in rules.TYPES or kind in STEP_TYPES_TO_COME:
            made["type"] = rules.TYPES.get(kind, kind)
            text = f"steps of type `{kind}` come with a later release; the template cannot be published until then"
            self._note(NoteKind.DROPPED, (*path, "type"), text)
        return self._kept(made, path, StepModel)

    def _handler(self, made: Values, path: Path, *, is_overlay: bool) -> None:
        handler = dict(mapping_at(made.get("handler"), (*path, "handler")))
        for old, new in (("handler_class", "callable"), ("handler_config", "initialization")):
            if made.get(old) not in rules.NO_VALUE:
                handler[new] = made.pop(old)
                self._note(NoteKind.RENAMED, (*path, old), f"→ handler.{new}")
        name = handler.get("callable")
        if name is not None:
            handler["callable"] = called = handler_name(str(name))
            if called != name:
                self._note(NoteKind.CHANGED, (*path, "handler"), f"{name} → {called}")
            self._note(NoteKind.NEEDED, (*path, "handler"), f"a step handler registered as {called!r}")
        made["handler"] = self._kept(handler, (*path, "handler"), HandlerModel)
        if is_overlay and not made["handler"]:
            del made["handler"]

    def _retry(self, made: Values, path: Path) -> None:
        held = dict(mapping_at(made.get("retry"), (*path, "retry")))
        for old, new in (
            ("default_retryable", "retryable"),
            ("retryable", "retryable"),
            ("default_retry_limit", "max_attempts"),
            ("retry_limit", "max_attempts"),
        ):
            if made.get(old) is not None:
                held[new] = made.pop(old)
                self._note(NoteKind.RENAMED, (*path, old), f"→ retry.{new}")
        for old, new in rules.DELAYS.items():
            if held.get(old) is not None:
                held[new] = round(number_at(held.pop(old), (*path, "retry", old)) * 1000)
                self._note(NoteKind.CHANGED, (*path, "retry", old), f"seconds → {new}: {held[new]}")
        held = self._renamed(held, (*path, "retry"), RetryModel)
        if str(held.get("backoff")) in rules.CONSTANT_BACKOFF:
            text = f"{held['backoff']}: a delay whose longest is its first does not grow"
            self._note(NoteKind.CHANGED, (*path, "retry", "backoff"), text)
            held["backoff"] = "exponential"
            held["max_backoff_ms"] = held.setdefault("backoff_base_ms", 1000)
        if held or "retry" in made:
            made["retry"] = self._kept(held, (*path, "retry"), RetryModel)

    def _events(self, old: Any, path: Path, condition: str) -> list[Values]:
        return [
            self._event({"name": each} if isinstance(each, str) else each, (*path, at), condition)
            for at, each in enumerate(list_at(old, path))
        ]

    def _event(self, old: Any, path: Path, condition: str) -> Values:
        made = self._renamed(old, path, TaskEventModel)
        name = re.sub(r"[^a-z0-9_.]+", "_", str(made.get("name", "")).lower())
        if "." not in name or name.split(".", 1)[0] in RESERVED_EVENT_PREFIXES:
            name = f"{self._namespace}.{name.replace('.', '_')}"
        if name != made.get("name"):
            self._note(NoteKind.CHANGED, (*path, "name"), f"{made.get('name')} → {name}")
        made["name"] = name
        if "condition" not in made:
            made["condition"] = condition
            self._note(NoteKind.CHANGED, path, f"published on `{condition}`; the original did not say when")
        delivery = rules.DELIVERY.get(str(made.get("delivery")))
        if delivery is not None:
            made["delivery"], why = delivery
            if why:
                self._note(NoteKind.CHANGED, (*path, "delivery_mode"), why)
        if made.get("publisher"):
            called = handler_name(str(made["publisher"]))
            self._note(NoteKind.NEEDED, (*path, "publisher"), f"a publisher registered as {called!r}")
            made["publisher"] = called
        return self._kept(made, path, TaskEventModel)

    def _lifecycle(self, old: Any, path: Path) -> Values:
        made = dict(mapping_at(old, path))
        minutes = made.pop("max_duration_minutes", None)
        if minutes is not None:
            made["max_duration_seconds"] = number_at(minutes, (*path, "max_duration_minutes")) * 60
            self._note(NoteKind.RENAMED, (*path, "max_duration_minutes"), "→ max_duration_seconds")
        waits = [
            number_at(made.pop(each), (*path, each)) for each in rules.WAITS if made.get(each) is not None
        ]
        if waits:
            made["stale_after_seconds"] = min(waits) * 60
            text = "one time for every state in which a task waits: the shortest of them"
            self._note(NoteKind.CHANGED, (*path, "max_waiting_for_…_minutes"), text)
        if str(made.get("staleness_action", "dlq")) not in {"dlq", "error", "none"}:
            self._note(NoteKind.CHANGED, (*path, "staleness_action"), f"{made['staleness_action']} → dlq")
            made["staleness_action"] = "dlq"
        return self._kept(made, path, LifecycleModel)

    def _overlay(self, old: Any, path: Path) -> Values:
        """An environment. What it says of ALL is said of each step, beneath what is said of that step itself."""
        made = self._renamed(old, path, TemplateModel)
        named: dict[str, Values] = {}
        for_all: Values = {}
        for at, each in enumerate(list_at(made.get("steps"), (*path, "steps"))):
            step = mapping_at(each, (*path, "steps", at))
            converted = self._step(step, (*path, "steps", at), is_overlay=True)
            name = converted.pop("name", "")
            if step.get("name") == "ALL":
                for_all = converted
                self._note(NoteKind.CHANGED, (*path, "steps", at), "ALL: written for each step")
            else:
                named[name] = merged(named.get(name, {}), converted)
        names = self._steps if for_all else list(named)
        steps = [{"name": name, **merged(for_all, named.get(name, {}))} for name in names]
        made["steps"] = [each for each in steps if len(each) > 1]
        return self._kept(made, path, TemplateModel)

    # ------------------------------------------------------------------------------------------- keys

    def _renamed(self, old: Any, path: Path, model: type[BaseModel]) -> Values:
        made: Values = {}
        for key, value in mapping_at(old, path).items():
            new = rules.RENAMED.get(model, {}).get(key, key)
            if new != key and value not in rules.NO_VALUE:
                self._note(NoteKind.RENAMED, (*path, key), f"→ {new}")
            if new in made and isinstance(made[new], list) and value not in rules.NO_VALUE:
                made[new] += value if isinstance(value, list) else [value]
            elif value not in rules.NO_VALUE or new not in made:
                made[new] = value
        return made

    def _kept(self, made: Values, path: Path, model: type[BaseModel]) -> Values:
        """What the model knows and what has a value, in the model's order; the rest is noted."""
        known = {field.alias or name: None for name, field in model.model_fields.items()}
        for key, value in made.items():
            if key in known and value not in rules.NO_VALUE:
                continue
            if value in rules.NO_VALUE or value in rules.SAYS_NOTHING.get(key, ()):
                if key not in {"handler", "steps"}:
                    self._note(NoteKind.EMPTY, (*path, key), "it said nothing")
                continue
            if key in rules.BOOKKEEPING:
                self._note(NoteKind.EMPTY, (*path, key), rules.BOOKKEEPING[key])
                continue
            level = ".".join([*(str(each) for each in path[-1:] if isinstance(each, str)), key])
            advice = REFUSED_KEYS.get(model, {}).get(key) or rules.ADVICE.get(level) or rules.ADVICE.get(key)
            self._note(NoteKind.DROPPED, (*path, key), advice or "it has no meaning here")
        return {
            key: made[key]
            for key in known
            if key in made and (made[key] not in rules.NO_VALUE or (key == "steps" and not path))
        }

    def _name_of_template(self, made: Values) -> None:
        name = str(made.get("name", ""))
        if "/" in name:
            self._note(NoteKind.CHANGED, ("name",), f"{name} → {name.rpartition('/')[2]}")
            name = name.rpartition("/")[2]
        made["name"] = self._word(name, ("name",))
        if made.get("namespace"):
            made["namespace"] = self._namespace = self._word(made["namespace"], ("namespace",))
        version = made.get("version")
        if version is not None:
            parts = [*str(version).split("."), "0", "0"][:3]
            made["version"] = version if str(version).count(".") >= 2 else ".".join(parts)
            if made["version"] != version:
                self._note(NoteKind.CHANGED, ("version",), f"{version} → {made['version']}")

    def _identity_of(self, made: Values) -> None:
        wanted = made.pop("identity_strategy", None)
        if wanted is None:
            return
        made["identity"] = rules.IDENTITY.get(str(wanted).lower(), "always_unique")
        self._note(NoteKind.CHANGED, ("identity_strategy",), f"{wanted} → identity: {made['identity']}")

    def _word(self, text: Any, path: Path | None = None) -> str:
        """A name as names are here. `path`: where to note that it differs."""
        made = snake(str(text))
        if path is not None and made != text:
            self._note(NoteKind.CHANGED, path, f"{text} → {made}")
        return made

    def _find_variables(self, made: Any) -> None:
        for name in dict.fromkeys(_VARIABLE.findall(json.dumps(made))):
            self.variables.append(name)
            self._note(NoteKind.NEEDED, (), f"${{{name}}}: allow it under [templates] variables")

    def _note(self, kind: NoteKind, path: Path, text: str) -> None:
        self.notes.append(Note(kind=kind, path=path_text(path), text=text))
