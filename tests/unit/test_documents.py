"""What the documents show is true: templates load, code runs, commands exist, links lead somewhere."""

from __future__ import annotations

import functools
import importlib
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any
from xml.etree import ElementTree

import pytest
import typer

from tasker_kafka.deploy.cli.app import app
from tasker_kafka.deploy.template_files import lint_files
from tasker_kafka.handlers import HandlerRegistry
from tasker_kafka.handlers.definition import definition_of
from tasker_kafka.handlers.subscribing.files import read_subscriptions
from tasker_kafka.handlers.subscribing.loading import specs_of
from tasker_kafka.schemas.event_patterns import parse_patterns
from tasker_kafka.schemas.template import compile_template, load_templates
from tests.support.documents import Block, blocks, documents, links
from tests.support.source_tree import ROOT

ALL = blocks()
TEMPLATES = [block for block in ALL if block.language == "yaml" and "steps:" in block.text]
SUBSCRIPTIONS = [
    block for block in ALL if block.language == "yaml" and block.text.startswith("event_subscriptions:")
]
PYTHON = [block for block in ALL if block.language == "python"]
COMMANDS = [(str(block), words) for block in ALL if block.language == "sh" for words in block.commands()]


def write_files(folder: Path, *names: str) -> None:
    """Write the files that these documents show."""
    for block in blocks(*names):
        if block.file is not None:
            path = folder / block.file
            path.parent.mkdir(exist_ok=True)
            path.write_text(block.text)


@pytest.mark.parametrize("block", TEMPLATES, ids=str)
def test_templates_load(block: Block) -> None:
    for model in load_templates(block.text, source=str(block)):
        compile_template(model)
        for environment in model.environments:
            load_templates(block.text, source=str(block), environment=environment)


def runs_by_itself(block: Block) -> bool:
    """Neither a test nor a program that talks to a broker at once."""
    return "asyncio.run" not in block.text and not (block.file or "").startswith("test_")


@pytest.mark.parametrize("block", PYTHON, ids=str)
def test_code_runs(block: Block, monkeypatch: pytest.MonkeyPatch) -> None:
    code = compile(block.text, str(block), "exec")
    if not runs_by_itself(block):
        return
    module = ModuleType("shown_in_a_document")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    exec(code, module.__dict__)
    handlers = [value for value in vars(module).values() if definition_of(value) is not None]
    assert bool(handlers) == ("@step_handler" in block.text or "(StepHandler)" in block.text)
    HandlerRegistry(*handlers)
    declares = "= Subscriber(" in block.text or "subscribe_to =" in block.text
    assert bool(specs_of([module])) == declares


@pytest.mark.parametrize("block", SUBSCRIPTIONS, ids=str)
def test_subscriptions_files_can_be_read(block: Block) -> None:
    for entry in read_subscriptions(block.text, source=str(block)):
        parse_patterns(entry.events or ("**",))


@pytest.mark.parametrize("path", sorted(ROOT.glob("docs/**/*.svg")), ids=lambda path: path.name)
def test_pictures_are_shown_somewhere_and_described(path: Path) -> None:
    picture = ElementTree.fromstring(path.read_text())
    described = {each.tag.rpartition("}")[2] for each in picture}
    assert {"title", "desc"} <= described
    assert any(path in {page.parent / target for target in links(page)} for page in documents())


@functools.cache
def tree() -> Any:
    """All commands; to make them takes longer than to ask each of them."""
    return typer.main.get_command(app)


@pytest.mark.parametrize(("place", "words"), COMMANDS)
def test_commands_exist_with_their_options(place: str, words: list[str]) -> None:
    command: Any = tree()
    rest = list(words)
    while rest and rest[0] in getattr(command, "commands", {}):
        command = command.commands[rest.pop(0)]
    assert not hasattr(command, "commands") or not rest or rest[0].startswith("-"), (
        f"{place}: no command {rest[0]}"
    )
    command.make_parser(command.context_class(command)).parse_args(rest)


def test_misspelt_command_would_be_found() -> None:
    with pytest.raises(Exception, match="--tempalte"):
        test_commands_exist_with_their_options("here", ["submit", "--tempalte", "x"])
    with pytest.raises(AssertionError, match="no command shwo"):
        test_commands_exist_with_their_options("here", ["task", "shwo", "x"])


@pytest.mark.parametrize("path", documents(), ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(path: Path) -> None:
    dead = [target for target in links(path) if not (path.parent / target).exists()]
    assert not dead


def test_example_of_the_readme_is_sound(tmp_path: Path) -> None:
    write_files(tmp_path, "README.md")
    assert {path.name for path in tmp_path.iterdir()} == {"templates", "tea_shop.py", "notices.py"}
    assert lint_files([tmp_path / "templates"]) == []


def test_shown_workflow_tests_pass(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_files(tmp_path, "README.md", "docs/how-to/test-a-workflow.md")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    shown = importlib.import_module("test_checkout")
    try:
        tests = [value for name, value in vars(shown).items() if name.startswith("test_")]
        for test in tests:
            test()
    finally:
        for name in ("test_checkout", "tea_shop"):
            sys.modules.pop(name, None)
    assert len(tests) == 2


def test_each_promise_names_tests_that_exist() -> None:
    text = (ROOT / "docs/delivery.md").read_text()
    promises = re.findall(r"^\| (\d+) \|.*$", text, re.MULTILINE)
    assert promises == [str(number) for number in range(1, 11)]
    named = re.findall(r"\[`(test_\w+)`\]\(\.\./([\w/.]+)\)", text)
    assert named
    missing = [name for name, path in named if f"def {name}(" not in (ROOT / path).read_text()]
    assert not missing
