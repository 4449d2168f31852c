"""Plays the stories: sends the requests, does what operators do, and says how each task ended."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from tasker_kafka.deploy.examples.shop import Shop
from tasker_kafka.deploy.reading import read_report
from tasker_kafka.schemas.errors import TaskerError
from tasker_kafka.schemas.identity import parse_id
from tasker_kafka.schemas.words import TaskStatus

from .board import Board, follow
from .observed import Heard, hear_of
from .report import Ending, faults
from .screen import Screen
from .stage import Stage
from .stories import Story

__all__ = ["Outcome", "TookTooLong", "play"]

STORIES_SECONDS: Final = 60.0
"""All stories together; they take a few seconds."""

OPERATOR_SECONDS: Final = 0.7
"""Before an operator acts, so that people see the failure."""


class TookTooLong(TaskerError):
    """Some story had not ended in time."""


@dataclass(frozen=True)
class Outcome:
    """What became of a story. `ending` None: it has no task."""

    story: Story
    faults: list[str]
    ending: Ending | None = None
    heard: Heard | None = None
    """Of an observed one: who heard of it."""


async def play(stage: Stage, shop: Shop, screen: Screen, stories: Sequence[Story]) -> list[Outcome]:
    """Play all stories at once. RoleEnded when a role ends meanwhile, TookTooLong when a task does not."""
    director = _Director(stage, shop, screen)
    playing = asyncio.create_task(director.play_all(stories))
    others: list[asyncio.Task[None]] = [
        asyncio.create_task(stage.wait_ended()),
        asyncio.create_task(director.watch()),
    ]
    try:
        done, _ = await asyncio.wait(
            {playing, *others}, timeout=STORIES_SECONDS, return_when=asyncio.FIRST_COMPLETED
        )
        if not done:
            raise TookTooLong(
                f"some task has not ended, or some event of the observed one is not told, within {STORIES_SECONDS:g} s"
            )
        for other in others:
            if other.done():
                other.result()  # neither ends but by raising
        return await playing
    finally:
        for task in (playing, *others):
            task.cancel()
        await asyncio.gather(playing, *others, return_exceptions=True)


class _Director:
    def __init__(self, stage: Stage, shop: Shop, screen: Screen) -> None:
        self._stage = stage
        self._shop = shop
        self._board = Board(stage.plans.get)
        self._screen = screen

    async def watch(self) -> None:
        """Show every change, until cancelled."""
        async for changes in follow(self._stage.log, self._stage.names, self._board):
            self._screen.show(self._board, changes)

    async def play_all(self, stories: Sequence[Story]) -> list[Outcome]:
        played = await asyncio.gather(*(self._play(story) for story in stories))
        return [outcome for outcomes in played for outcome in outcomes]

    async def _play(self, story: Story) -> list[Outcome]:
        """One story, and the one that follows from it."""
        try:
            task_id = await self._perform(story)
            outcomes = [await self._outcome(story, task_id)]
            ending = outcomes[0].ending
            if story.is_observed and not outcomes[0].faults:
                heard = await hear_of(task_id, self._stage, self._shop, self._screen)
                outcomes = [replace(outcomes[0], heard=heard, faults=heard.faults)]
            if story.further is not None and ending is not None and not outcomes[0].faults:
                further_id = parse_id(ending.report.output["refund_task"])
                await self._board.wait_closed(further_id)
                outcomes.append(await self._outcome(story.further, further_id))
        except TaskerError as error:
            return [Outcome(story, [str(error)])]
        return outcomes

    async def _perform(self, story: Story) -> bytes:
        """Request the task and see it to its end, with an operator's help where the story has one."""
        client = self._stage.client
        handle = await client.submit(
            story.template_name,
            story.context,
            namespace=story.namespace,
            initiator="demo",
            source_system="demo",
            reason=story.name,
            tags=(story.name,),
        )
        snapshot = await handle.wait()
        if story.mend is not None and snapshot.state is TaskStatus.ERROR:
            await asyncio.sleep(OPERATOR_SECONDS)
            self._screen.say(f"{story.name}: {story.mend.told}")
            await story.mend.act(client, handle, self._shop)
            await handle.wait()
        return handle.task_id

    async def _outcome(self, story: Story, task_id: bytes) -> Outcome:
        stage = self._stage
        report, plan = await read_report(stage.log, stage.names, stage.plans, task_id)
        ending = Ending(story, report, plan)
        return Outcome(story, faults(ending), ending)
