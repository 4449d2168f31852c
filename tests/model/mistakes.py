"""The ways to get this protocol wrong that one could think of, each a design that differs in one thing.

The first seven are those that the design names. The orders in `HARMLESS` differ from the product's and are right, too:
the exploration tells them from the wrong ones.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from .design import CODE, Design, Step
from .logs import ReadersRule

__all__ = ["HARMLESS", "MISTAKES"]

_S: Final = Step


def _takeover(*steps: Step) -> Design:
    return replace(CODE, takeover=steps)


def _checkpoint(*steps: Step) -> Design:
    return replace(CODE, checkpoint=steps)


MISTAKES: Final[Mapping[str, Design]] = {
    "the marker is written by a plain producer": _takeover(_S.FENCE, _S.MARK_PLAINLY, _S.LOAD, _S.READ),
    "there is no marker": replace(CODE, takeover=(_S.FENCE, _S.LOAD, _S.READ), markers=False),
    "what is recorded is decided again": replace(CODE, keeps_recorded=False),
    "what was ignored is decided again": replace(CODE, keeps_ignored=False),
    "the checkpoint is not fenced": _checkpoint(_S.ASK_END, _S.CUT, _S.BARRIER, _S.SAVE_PLAINLY),
    "the cut is taken after the barrier": _checkpoint(_S.ASK_END, _S.BARRIER, _S.CUT, _S.WRITE, _S.END),
    "readers take the first record of a command": replace(CODE, readers=ReadersRule.FIRST),
    "readers do not remember the highest command offset": replace(CODE, readers=ReadersRule.OWNER_ONLY),
    "the group's offset is trusted, not N": replace(
        CODE, checkpoint=(*CODE.checkpoint, _S.COMMIT_OFFSET), trusts_offset=True
    ),
    "the checkpoint does not await acknowledgements": _checkpoint(_S.ASK_END, _S.CUT, _S.WRITE, _S.END),
    "the marker is written before fencing": _takeover(_S.MARK_PLAINLY, _S.FENCE, _S.LOAD, _S.READ),
    "the changelog is loaded before fencing": _takeover(
        _S.LOAD, _S.FENCE, _S.MARK_WRITE, _S.MARK_END, _S.READ
    ),
    "the changelog is loaded while an older commit is in the making": replace(
        _takeover(_S.FENCE, _S.LOAD, _S.MARK_WRITE, _S.MARK_END, _S.READ), fence_waits=False
    ),
    "the history is read before the marker is written": _takeover(
        _S.FENCE, _S.LOAD, _S.READ_EARLY, _S.MARK_WRITE, _S.MARK_END, _S.GO_LIVE
    ),
    "a new owner reads the uncommitted": replace(CODE, owners_reading=ReadersRule.UNCOMMITTED),
    "readers read the uncommitted": replace(CODE, readers=ReadersRule.UNCOMMITTED),
    "the end of the transitions is asked after the cut": _checkpoint(
        _S.CUT, _S.ASK_END, _S.BARRIER, _S.WRITE, _S.END
    ),
    "the Checkpoint does not name its owner": replace(CODE, mark_has_owner=False),
    "the Checkpoint does not list what was ignored": replace(CODE, saves_ignored=False),
    "outputs of recorded decisions are not repeated": replace(CODE, repeats_outputs=False),
}
"""What is wrong → the design that is so."""

HARMLESS: Final[Mapping[str, Design]] = {
    "the changelog is loaded after fencing, before the marker is written": _takeover(
        _S.FENCE, _S.LOAD, _S.MARK_WRITE, _S.MARK_END, _S.READ
    ),
    "acknowledgements are awaited between writing the checkpoint and committing it": _checkpoint(
        _S.ASK_END, _S.CUT, _S.WRITE, _S.BARRIER, _S.END
    ),
}
