"""The one place where errors become texts and exit codes."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from collections.abc import Coroutine
from typing import Any, TypeVar

import typer
from typer.core import TyperGroup

from tasker_kafka.schemas.errors import TaskerError

from .console import note, print_error
from .exits import CommandExit, code_of

__all__ = ["GuardedGroup", "run"]

T = TypeVar("T")


class GuardedGroup(TyperGroup):
    """The root group: an error of ours is printed as its text, without a traceback, and gives its exit code."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command."""
        try:
            try:
                return super().invoke(ctx)
            finally:
                # Here, where a closed pipe can be answered: at the interpreter's end it would print a traceback.
                sys.stdout.flush()
        except BrokenPipeError as error:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(code_of(error)) from None
        except TaskerError as error:
            print_error(error)
            raise typer.Exit(code_of(error)) from error
        except KeyboardInterrupt:
            note("interrupted")
            raise typer.Exit(CommandExit.INTERRUPTED) from None


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run a command's coroutine to its end. What the driver logs on the way is in the errors already."""
    driver = logging.getLogger("aiokafka")
    if not driver.handlers:
        driver.addHandler(logging.NullHandler())
    return asyncio.run(work)
