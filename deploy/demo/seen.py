"""The demo's last look: the console shows every task as it ended. It is asked as anybody would, over HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import httpx

from tasker_kafka.deploy.read_side import ReadSide
from tasker_kafka.schemas.identity import format_id

from .play import Outcome
from .screen import Screen

__all__ = ["seen"]

SEEN_SECONDS: Final = 20.0
"""The console may still be starting when the last task has ended."""
POLL_SECONDS: Final = 0.1


async def seen(outcomes: Sequence[Outcome], side: ReadSide, screen: Screen) -> list[Outcome]:
    """The outcomes, with a fault for each task that the console does not show as it ended."""
    shown: dict[str, str] = {}
    try:
        async with asyncio.timeout(SEEN_SECONDS):
            await side.wait_answering()
            while not all(_is_shown(each, shown) for each in outcomes):
                shown = await _shown(side)
                await asyncio.sleep(POLL_SECONDS)
    except TimeoutError:
        pass
    good = sum(_is_shown(each, shown) for each in outcomes)
    screen.say(f"the console shows {good} of {len(outcomes)} tasks as they ended")
    return [each if _is_shown(each, shown) else _unseen(each, shown) for each in outcomes]


async def _shown(side: ReadSide) -> dict[str, str]:
    """Task id → state, as the console lists them now."""
    async with httpx.AsyncClient(trust_env=False) as client:
        try:
            answer = await client.get(side.url.removesuffix("/console") + "/tasks", params={"limit": 100})
            answer.raise_for_status()
        except httpx.HTTPError:
            return {}
    return {each["task_id"]: each["state"] for each in answer.json()["tasks"]}


def _is_shown(outcome: Outcome, shown: dict[str, str]) -> bool:
    ending = outcome.ending
    return ending is None or shown.get(format_id(ending.report.task_id)) == ending.report.state


def _unseen(outcome: Outcome, shown: dict[str, str]) -> Outcome:
    assert outcome.ending is not None, "what has no task is not looked for"
    state = shown.get(format_id(outcome.ending.report.task_id), "not there")
    return replace(outcome, faults=[*outcome.faults, f"the console shows the task as {state}"])
