"""Options that belong together: declared once, spread over every command that takes them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import typer
from typer.testing import CliRunner

from tasker_kafka.deploy.cli.spreading import spread

Size = Annotated[int, typer.Option("--size", min=1, help="How many.")]
Word = Annotated[str, typer.Argument(metavar="WORD", help="A word.")]


@dataclass(frozen=True)
class Page:
    """A group of options."""

    size: Size = 5
    names: Annotated[list[str] | None, typer.Option("--name", help="Which.")] = None


@dataclass(frozen=True)
class Needed:
    """One without a default."""

    key: Annotated[str, typer.Option("--key", help="A key.")]


app = typer.Typer()


@app.command()
@spread
def shown(word: Word, page: Page, loud: Annotated[bool, typer.Option("--loud")] = False) -> None:
    """Show it."""
    print(word, page, loud)


@app.command()
@spread
def keyed(page: Page, needed: Needed) -> None:
    """Two groups."""
    print(page.size, needed.key)


def ran(*arguments: str) -> tuple[int, str]:
    """Exit code and output."""
    result = CliRunner().invoke(app, arguments)
    return result.exit_code, result.stdout.strip()


def test_the_command_gets_the_group_and_its_own() -> None:
    assert ran("shown", "hi") == (0, "hi Page(size=5, names=None) False")
    assert ran("shown", "hi", "--size", "2", "--name", "a", "--name", "b", "--loud") == (
        0,
        "hi Page(size=2, names=['a', 'b']) True",
    )


def test_options_keep_their_rules() -> None:
    assert ran("shown", "hi", "--size", "0")[0] == 2
    assert ran("keyed", "--size", "3")[0] == 2, "a key is missing"
    assert ran("keyed", "--key", "k") == (0, "5 k")


def test_the_command_explains_itself() -> None:
    code, text = ran("shown", "--help")
    assert code == 0
    assert all(each in text for each in ("Show it.", "--size", "How many.", "--name", "--loud", "A word."))
