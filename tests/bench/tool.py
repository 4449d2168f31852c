"""What every measuring command does alike: a broker, a loop, a report on standard output, JSON, a filled document."""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import uvloop

from tests.bench.machine import machine, versions
from tests.bench.stage import BrokerAt, RoleEnded, broker_at, until_signal
from tests.bench.tables import described, filled

__all__ = ["Result", "Section", "heading", "report", "run_sections", "say"]


@dataclass(frozen=True)
class Result:
    """What a section found: for people, by the name of the place in the document, and as JSON."""

    blocks: Mapping[str, str]
    json: Mapping[str, Any]


Section = Callable[[BrokerAt], Awaitable[Result]]
"""Measures with a broker of its own."""


def say(text: str) -> None:
    """A line about how far it is."""
    print(f"  {text}", file=sys.stderr, flush=True)


def heading(settings: str, **more: str) -> dict[str, Any]:
    """On what a section is measured. Taken before it, so that the load average is of other things."""
    return {"machine": machine(), "versions": versions(), "settings": settings, **more}


def run_sections(sections: Sequence[Section], chosen: argparse.Namespace) -> int:
    """Measure and print; 1 when a role ended, 130 after Ctrl-C. What was found until then is not lost."""
    # A new topic's leader is not known everywhere at once.
    logging.getLogger("aiokafka").setLevel(logging.ERROR)
    results: list[Result] = []
    try:
        for section in sections:
            results.append(_run(section))
            print("\n\n".join(results[-1].blocks.values()), flush=True)
            _write(results, chosen)
    except ExceptionGroup as failed:
        ended, others = failed.split(RoleEnded)
        if ended is None or others is not None:
            raise
        print(*ended.exceptions, sep="\n", file=sys.stderr)
        return 1
    except (KeyboardInterrupt, asyncio.CancelledError):
        print("stopped; nothing is left running", file=sys.stderr)
        return 130
    return 0


def _run(section: Section) -> Result:
    with broker_at() as broker, asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(until_signal(section(broker)))


def _write(results: Sequence[Result], chosen: argparse.Namespace) -> None:
    if chosen.json is not None:
        found = {name: value for result in results for name, value in result.json.items()}
        chosen.json.write_text(json.dumps(found, indent=2, ensure_ascii=False) + "\n")
    if chosen.markdown is not None:
        blocks = {name: text for result in results for name, text in result.blocks.items()}
        chosen.markdown.write_text(filled(chosen.markdown.read_text(), blocks))


def report(head: Mapping[str, Any], *parts: str) -> str:
    """A section's text: what was found, then on what."""
    return "\n\n".join([*(part for part in parts if part), described(head)])
