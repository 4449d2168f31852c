"""Prints the generated part of docs/reference/cli.md: `python -m tasker_kafka.deploy.cli.reference [PAGE]`.

Given the page it is put in its place there. A test compares the two, so that the page cannot fall behind.
"""

from __future__ import annotations

import ast
import inspect
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

from . import exits
from .app import app
from .console import print_text

__all__ = ["generated", "placed"]


def generated() -> str:
    """Tables of all commands with their options, and of the exit codes."""
    lines = ["| command | what it does | options |", "|---|---|---|"]
    for path, command in commands(typer.main.get_command(app), "tasker"):
        what = (command.help or "").strip().splitlines()[0]
        lines.append(f"| `{usage(path, command)}` | {what} | {options(command)} |")
    lines += ["", "| code | name | meaning |", "|---|---|---|"]
    for name, meaning in exit_meanings().items():
        lines.append(f"| {int(exits.CommandExit[name])} | {name.lower()} | {meaning} |")
    return "\n".join(lines) + "\n"


def commands(command: Any, path: str) -> Iterator[tuple[str, Any]]:
    """Every command that can be called, with its path, in the order of the help."""
    below = getattr(command, "commands", {})
    if not below or getattr(command, "invoke_without_command", False):
        yield path, command
    for name, each in below.items():
        yield from commands(each, f"{path} {name}")


def usage(path: str, command: Any) -> str:
    """The path with the command's arguments."""
    arguments = [argument(each) for each in command.params if is_argument(each)]
    return " ".join([path, *arguments]).replace("|", "\\|")


def argument(parameter: Any) -> str:
    """`NAME`; `[NAME]` where it may be left out; with dots where there may be several."""
    name = parameter.metavar if parameter.required else f"[{parameter.metavar}]"
    return f"{name}..." if parameter.nargs == -1 else str(name)


def options(command: Any) -> str:
    """The long names of the options."""
    names = [each.opts[0] for each in command.params if not is_argument(each) and each.name != "help"]
    return " ".join(f"`{name}`" for name in names)


def is_argument(parameter: Any) -> bool:
    """Whether it is given by place, not by name."""
    return str(parameter.param_type_name) == "argument"


def exit_meanings() -> dict[str, str]:
    """Name → the text below it in the class."""
    (body,) = ast.parse(inspect.getsource(exits.CommandExit)).body
    assert isinstance(body, ast.ClassDef), "it is a class"
    found: dict[str, str] = {}
    name = ""
    for node in body.body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            name = node.targets[0].id
        elif name and isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            found[name] = str(node.value.value)
    return found


def placed(page: str) -> str:
    """The page with its generated part anew. ValueError for a page without the marks."""
    before, mark, rest = page.partition("<!-- generated:")
    command, _, old = rest.partition("-->")
    _, end, after = old.partition("<!-- end of generated -->")
    if not end:
        raise ValueError("the page has no generated part")
    return f"{before}{mark}{command}-->\n\n{generated()}\n{end}{after}"


if __name__ == "__main__":
    if len(sys.argv) > 1:
        target = Path(sys.argv[1])
        target.write_text(placed(target.read_text(encoding="utf-8")), encoding="utf-8")
    else:
        print_text(generated())
