"""Prints the generated part of docs/reference/cli.md: `python -m tasker_kafka.deploy.cli.reference`.

A test compares it with the page, so that the page cannot fall behind.
"""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator
from typing import Any

import typer

from . import exits
from .app import app
from .console import print_text

__all__ = ["generated"]


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
    arguments = [str(each.metavar) for each in command.params if is_argument(each)]
    return " ".join([path, *arguments]).replace("|", "\\|")


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


if __name__ == "__main__":
    print_text(generated())
