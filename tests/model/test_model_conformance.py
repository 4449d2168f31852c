"""The model is the code: what real lanes do on a log is a way that the model knows, and leaves the same bytes."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from tasker_kafka.schemas.codec import codec
from tasker_kafka.streams.lane import decider
from tasker_kafka.topics.memory import run_virtual
from tasker_kafka.topics.memory.store import Transaction, TransactionState
from tests.model.design import CODE
from tests.model.domain import TASK_ID, Domain
from tests.model.follower import Follower
from tests.model.machine import OWNERS_AT, Machine
from tests.model.play import Play
from tests.model.scope import Scope
from tests.model.shapes import SHAPES
from tests.model.tape import decide_as

SEEDS = range(100)
BY_BROKER = {"the commit can be seen", "the abort can be seen"}
BY_OWNER = {
    *CODE.takeover,
    *CODE.checkpoint,
    "decides the next command",
    "its first record on the way arrives",
    "an output arrives",
    "is refused as fenced, and dies",
    "dies; what has not arrived is lost",
}


def play_one(seed: int) -> Play:
    """Real lanes in a random interleaving, each with the rules of its own release."""
    dice = random.Random(seed)
    shape = dice.choice(list(SHAPES))
    releases = tuple(dice.choice([0, 1, 2]) for _ in range(dice.choice([1, 2, 3])))
    play = Play(Domain(shape), Scope(shape, releases, dice.choice([2, 3, 5])), seed)
    end = Transaction.end

    def ended(transaction: Transaction, state: TransactionState, now_ms: int) -> None:
        end(transaction, state, now_ms)
        play.cluster.ended(transaction, state)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Transaction, "end", ended)
        patch.setattr(decider, "decide", decide_as(play.tape))
        run_virtual(play.run())
    return play


def followed(play: Play) -> Follower:
    """The model, after the same steps. One owner more, who never comes: so each of those who came may die."""
    scope = Scope(play.scope.shape, (*play.scope.releases, 0), play.scope.commands)
    follower = Follower(Machine(CODE, scope, play.domain), play.commands)
    follower.follow(play.tape)
    return follower


@pytest.mark.slow
@pytest.mark.parametrize("seed", SEEDS)
def test_what_lanes_do_is_a_way_through_the_model(seed: int) -> None:
    play = play_one(seed)
    follower = followed(play)
    follower.compare_log(play.transitions())
    follower.compare_changelog(play.changelog())
    last = len(play.scope.releases) - 1
    owner, lane = follower.owner(OWNERS_AT + last), play.owners[last].lane
    state, expected = lane.table.get(TASK_ID), play.domain.state(owner.table)
    assert lane.next_command == owner.next == play.scope.length
    assert state is not None
    assert expected is not None
    assert codec.encode(state) == codec.encode(expected)


@pytest.mark.slow
def test_the_plays_show_every_step_of_the_model() -> None:
    seen: Counter[str] = Counter()
    for seed in SEEDS[:40]:
        seen.update(each.what for each in play_one(seed).tape.effects)
    assert set(seen) == {str(each) for each in BY_OWNER | BY_BROKER}


def test_an_effect_that_the_model_does_not_know_is_noticed() -> None:
    play = play_one(0)
    [first, *others] = play.tape.effects
    play.tape.effects[:] = [*others, first]
    with pytest.raises(AssertionError, match="the model knows only"):
        followed(play)
