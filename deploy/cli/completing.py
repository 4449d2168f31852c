"""Words that a shell completes from the log: templates, namespaces, subscriber groups, steps of a task.

Whoever presses TAB must not wait, and must not see an error in the middle of a line. So the log is asked in a thread of
its own for a short time; when it has not answered by then, cannot be reached or anything else is wrong, there are no
words, and nothing is said.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import os
import sys
import threading
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import TYPE_CHECKING, Any, Final

import typer

if TYPE_CHECKING:
    from .session import Session

__all__ = [
    "complete_group",
    "complete_namespace",
    "complete_plan",
    "complete_step",
    "complete_template",
    "complete_template_or_file",
    "complete_version",
    "is_completion",
    "serve_completion",
]

LIMIT_SECONDS: Final = 0.75
"""For the log. With the interpreter's start a shell waits less than a second."""
REQUEST: Final = "_TASKER_COMPLETE"
"""Variable in which a shell's script asks; named after the program."""
IS_ANYTHING_THERE: Final = ("_TYPER_COMPLETE_FISH_ACTION", "is-args")
"""fish asks twice: first whether there are words at all."""


# ------------------------------------------------------------------------------------- one request of a shell


def is_completion(environment: MutableMapping[str, str]) -> bool:
    """Whether a shell asks for words, and not a person for a command."""
    return environment.get(REQUEST, "").startswith("complete_")


def serve_completion(app: Callable[..., Any]) -> None:
    """Print the words and end the process, whatever happens and whoever still waits for the log."""
    is_cut = join_bash_words(os.environ)
    code: Any = 0
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(io.StringIO()):
        try:
            app(prog_name="tasker")
        except SystemExit as ended:
            code = ended.code
        except BaseException:  # no words, and no traceback in somebody's command line
            code = 1
    told = said.getvalue()
    if is_cut:
        told = "\n".join(line.rpartition("@")[2] for line in told.split("\n"))
    with contextlib.suppress(OSError):
        sys.stdout.write(told)
        sys.stdout.flush()
    os._exit(code if isinstance(code, int) else 0)


def join_bash_words(environment: MutableMapping[str, str]) -> bool:
    """Put `shop/order`, `@`, `1.0` together again, if bash has cut the word so: whether it has.

    It will put what it is told behind the @ then.
    """
    words = environment.get("COMP_WORDS", "").split("\n")
    place = environment.get("COMP_CWORD", "")
    if not place.isdigit() or not 2 <= int(place) < len(words):
        return False
    last = int(place)
    at = last if words[last] == "@" else last - 1
    if words[at] != "@" or "/" not in words[at - 1]:
        return False
    joined = [*words[: at - 1], "".join(words[at - 1 : last + 1])]
    environment["COMP_WORDS"] = "\n".join(joined)
    environment["COMP_CWORD"] = str(len(joined) - 1)
    return True


def words(ask: Callable[[Session], Awaitable[Iterable[str]]]) -> list[str]:
    """The answer of the log, sorted; none when there is none in time."""
    found: set[str] = set()

    def work() -> None:
        from .session import in_session

        with contextlib.suppress(Exception):
            found.update(asyncio.run(in_session(ask)))

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(LIMIT_SECONDS)
    return sorted(found)


def begun(ask: Callable[[Session], Awaitable[Iterable[str]]], incomplete: str) -> list[str]:
    """The words that begin so. fish's first question is answered without the log: it asks again at once."""
    name, wanted = IS_ANYTHING_THERE
    if os.environ.get(name) == wanted:
        return [incomplete or "?"]
    return [each for each in words(ask) if each.startswith(incomplete)]


# ------------------------------------------------------------------------------------------- what is asked


async def _references(session: Session) -> set[str]:
    """Each template with and without its version; those of the namespace `default` also without it."""
    async with session.plans() as store:
        places = [(f"{each.namespace}/{each.name}", each.version) for each in store.all()]
    places += [(place.removeprefix("default/"), version) for place, version in places]
    return {place for place, _ in places} | {f"{place}@{version}" for place, version in places}


async def _names(session: Session) -> set[str]:
    async with session.plans() as store:
        return {each.name for each in store.all()}


async def _versions(session: Session) -> set[str]:
    async with session.plans() as store:
        return {each.version for each in store.all()}


async def _namespaces(session: Session) -> set[str]:
    async with session.plans() as store:
        return {each.namespace for each in store.all()}


async def _groups(session: Session) -> set[str]:
    from tasker_kafka.handlers.delivery.groups import GroupRegistry

    registry = GroupRegistry(session.log, session.names)
    try:
        return set(await registry.refresh())
    finally:
        await registry.close()


async def _steps(session: Session, task: str) -> set[str]:
    from tasker_kafka.deploy.reading.heads import saved_states
    from tasker_kafka.schemas.identity import parse_id

    found = await saved_states(session.log, session.names, [parse_id(task)])
    async with session.plans() as store:
        plans = [store.get(state.plan_hash) for state in found.values()]
    return {step.name for plan in plans if plan is not None for step in plan.steps}


def complete_plan(incomplete: str) -> list[str]:
    """Published templates as `[NAMESPACE/]NAME[@VERSION]`."""
    return begun(_references, incomplete)


def complete_template_or_file(incomplete: str) -> list[str]:
    """The same where a file may be meant: the shell offers files when there are no words."""
    return [each for each in words(_references) if each.startswith(incomplete)]


def complete_template(incomplete: str) -> list[str]:
    """Names of templates, without namespaces."""
    return begun(_names, incomplete)


def complete_version(incomplete: str) -> list[str]:
    """Versions of templates."""
    return begun(_versions, incomplete)


def complete_namespace(incomplete: str) -> list[str]:
    """Namespaces that have templates."""
    return begun(_namespaces, incomplete)


def complete_group(incomplete: str) -> list[str]:
    """Subscriber groups that are announced."""
    return begun(_groups, incomplete)


def complete_step(context: typer.Context, incomplete: str) -> list[str]:
    """Steps of the task that the command line names before, those left out that it names already."""
    task = context.params.get("task")
    if not isinstance(task, str):
        return []
    given = context.params.get("steps") or ()
    return [each for each in begun(lambda session: _steps(session, task), incomplete) if each not in given]
