"""`tasker generate template`: a template, a handler for each of its steps, and tests of the whole."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from tasker_kafka.schemas.template import compile_template, load_templates
from tasker_kafka.schemas.words import RESERVED_EVENT_PREFIXES

from .errors import ScaffoldError
from .handler import HANDLERS_DOCSTRING, import_line, importable
from .layout import Layout
from .names import class_name, identifier, parse_step, parse_template
from .text import filled, names_list, wrapped
from .writing import Draft, NewFile, Registration

__all__ = ["USUAL_STEPS", "new_template"]

USUAL_STEPS: Final = ("check", "carry_out", "confirm")
_LONGEST_HANDLER: Final = 64
_PLAIN: Final = re.compile(r"[a-z][a-z0-9_.]*")
_YAML_WORDS: Final = frozenset({"false", "n", "no", "null", "off", "on", "true", "y", "yes"})
_TAKEN: Final = frozenset({"annotations", "result_of", "step_handler"})


def new_template(name: str, layout: Layout, *, steps: Sequence[str] = USUAL_STEPS) -> Draft:
    """The files of a template `[NAMESPACE/]NAME` whose steps run one after the other.

    ScaffoldError for names that none may have, InvalidTemplate for a template that could not be published.
    """
    namespace, template = parse_template(name)
    namespace = namespace or (layout.package or "default").rpartition(".")[2]
    _check_steps(template, steps)
    module = identifier(template)
    yaml = _yaml(template, namespace, steps, layout, module)
    path = layout.templates / f"{template}.yaml"
    for model in load_templates(yaml, source=str(path)):
        compile_template(model)
    folder = layout.folder("handlers")
    return Draft(
        files=(
            NewFile(path, yaml),
            NewFile(folder / f"{module}.py", _handlers(template, namespace, steps)),
            NewFile(layout.tests / f"test_{module}.py", _test(template, namespace, steps, layout, module)),
            *importable(layout),
        ),
        registrations=(Registration(folder, module, HANDLERS_DOCSTRING),),
        notes=(f"Run it: tasker dev --module {layout.module('handlers')} --templates {layout.templates}",),
    )


def _check_steps(template: str, steps: Sequence[str]) -> None:
    if not steps:
        raise ScaffoldError("The template has no steps.", next_step="Give them as `--steps check,pay`.")
    for step in steps:
        parse_step(step)
        handler = f"{template}.{step}"
        if len(handler) > _LONGEST_HANDLER:
            raise ScaffoldError(
                f"The handler {handler} has {len(handler)} characters, at most {_LONGEST_HANDLER} are accepted.",
                next_step="Shorten the template's name or the step's.",
            )
        if list(steps).count(step) > 1:
            raise ScaffoldError(
                f"The step {step} is there twice.", next_step="Give each step a name of its own."
            )


def _yaml(template: str, namespace: str, steps: Sequence[str], layout: Layout, module: str) -> str:
    shown = []
    for before, step in zip((None, *steps), steps, strict=False):
        lines = [f"  - name: {_quoted(step)}", f"    handler: {{callable: {_quoted(f'{template}.{step}')}}}"]
        if before is not None:
            lines.append(f"    depends_on: [{_quoted(before)}]")
        lines.append("    retry: {max_attempts: 3, backoff_base_ms: 200}")
        shown.append("\n".join(lines))
    prefix = f"{template}_flow" if template in RESERVED_EVENT_PREFIXES else template
    return filled(
        "template.yaml.tmpl",
        path=str(layout.templates),
        module=layout.module("handlers"),
        name=_quoted(template),
        namespace=_quoted(namespace),
        last=_path(steps[-1]),
        steps="\n".join(shown),
        event=_quoted(f"{prefix}.done"),
    )


def _handlers(template: str, namespace: str, steps: Sequence[str]) -> str:
    functions = _functions(steps)
    request, result = class_name(template, "Request"), class_name(template, "Step")
    code = [
        _first(f"{template}.{steps[0]}", functions[0], request, result),
        *(
            _next(f"{template}.{step}", function, before, result)
            for step, function, before in zip(steps[1:], functions[1:], steps, strict=False)
        ),
    ]
    is_chain = len(steps) > 1
    return filled(
        "steps.py.tmpl",
        template=f"{namespace}/{template}",
        typing="from typing import Annotated\n\n" if is_chain else "",
        sdk="StepContext, result_of, step_handler" if is_chain else "StepContext, step_handler",
        exports=names_list("__all__", [request, result, *functions]),
        class_request=wrapped(f"class {request}(", ["BaseModel"], "):"),
        class_result=wrapped(f"class {result}(", ["BaseModel"], "):"),
        steps="".join(code).rstrip("\n"),
    )


def _functions(steps: Sequence[str]) -> list[str]:
    """A function's name for each step; `in` and `in_` must not meet."""
    found: list[str] = []
    for step in steps:
        found.append(identifier(step, {*_TAKEN, *found, *(each for each in steps if each != step)}))
    return found


def _first(handler: str, function: str, request: str, result: str) -> str:
    parameters = ["context: StepContext", f"request: {request}"]
    return _function(handler, function, parameters, result, "request.reference")


def _next(handler: str, function: str, before: str, result: str) -> str:
    mark = wrapped("before: Annotated[", [result, f'result_of("{before}")'], "]", indent=4)
    return _function(handler, function, ["context: StepContext", mark], result, "before.reference")


def _function(handler: str, function: str, parameters: list[str], result: str, reference: str) -> str:
    head = wrapped(f"async def {function}(", parameters, f") -> {result}:")
    values = [f"reference={reference}", "done_as=context.idempotency_key"]
    answer = wrapped(f"return {result}(", values, ")", indent=4)
    lines = [
        f'@step_handler("{handler}")',
        head,
        '    """Do the work, maybe more than once: the key is the same every time."""',
        f"    {answer}",
    ]
    return "\n\n" + "\n".join(lines) + "\n"


def _test(template: str, namespace: str, steps: Sequence[str], layout: Layout, module: str) -> str:
    return filled(
        "test_steps.py.tmpl",
        template=f"{namespace}/{template}",
        file=f"{template}.yaml",
        run=wrapped(
            "return workflow.run(",
            [f'"{template}"', '{"reference": "R-1"}', f'namespace="{namespace}"'],
            ")",
            indent=8,
        ),
        handlers=wrapped("HANDLERS = [", [module], "]"),
        list=wrapped("STEPS = [", [f'"{step}"' for step in steps], "]"),
        imports=import_line(layout.module("handlers"), [module]),
    )


def _quoted(name: str) -> str:
    """A name as YAML takes it for text."""
    return name if _PLAIN.fullmatch(name) and name not in _YAML_WORDS else f'"{name}"'


def _path(step: str) -> str:
    return f"$.{step}.reference" if _PLAIN.fullmatch(step) else f"""'$["{step}"].reference'"""
