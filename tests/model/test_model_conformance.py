"""The model is the code: what real lanes do on a log is a way that the model knows, and leaves the same bytes."""

from __future__ import annotations

import random

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

SEEDS = range(400)


@pytest.mark.parametrize("seed", SEEDS)
def test_what_lanes_do_is_a_way_through_the_model(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    dice = random.Random(seed)
    shape = dice.choice(list(SHAPES))
    releases = tuple(dice.choice([0, 1, 2]) for _ in range(dice.choice([1, 2, 3])))
    domain, length = Domain(shape), dice.choice([2, 3, 5])
    play = Play(domain, releases, length, seed)
    end = Transaction.end

    def ended(transaction: Transaction, state: TransactionState, now_ms: int) -> None:
        end(transaction, state, now_ms)
        play.cluster.ended(transaction, state)

    monkeypatch.setattr(Transaction, "end", ended)
    monkeypatch.setattr(decider, "decide", decide_as(play.tape))
    run_virtual(play.run())
    # One owner more, who never comes: so each of these may die.
    machine = Machine(CODE, Scope(shape, (*releases, 0), length), domain)
    follower = Follower(machine, play.commands)
    follower.follow(play.tape)
    follower.compare_log(play.transitions())
    follower.compare_changelog(play.changelog())
    last = len(releases) - 1
    owner, lane = machine.all_owners[follower.state[OWNERS_AT + last]], play.owners[last].lane
    state, expected = lane.table.get(TASK_ID), domain.state(owner.table)
    assert (lane.next_command, owner.next) == (length, length)
    assert state is not None
    assert expected is not None
    assert codec.encode(state) == codec.encode(expected)
