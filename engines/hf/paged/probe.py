"""The paged loop of a model, tried against the plain pass before anything is asked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from engines.hf.answering.model_answers import model_trial, plain_of_causal
from engines.hf.answering.rows import budget_bytes
from engines.hf.beliefs.choosing import Choosing, Feeding
from engines.hf.beliefs.model_trial import Part, Way
from engines.hf.beliefs.probe_tree import REPLAYED_STEPS, ProbeTree
from engines.hf.packed.packed import pack_tokens
from engines.hf.paged.continuous_batching import Room
from engines.hf.paged.loop import Asked, PagedLoop
from engines.hf.paged.rows import PagedRows
from engines.hf.ranks.operations import ALONE
from modeltest.api import PrerequisiteError

if TYPE_CHECKING:
    from engines.hf.model.checkpoint_loading import Loaded

PROBE_BLOCK_TOKENS = 4
"""Small blocks, so that the short rows of a trial share some and end within others."""


def paged_rows(loaded: Loaded, device: str, *, block_tokens: int, seed: int) -> tuple[PagedRows, Choosing]:
    """Return what feeds rows to the loaded model through a paged cache, and what says which rows it may.

    Raises: PrerequisiteError when the model's answers would not be those of a plain pass; EngineError for a
    model that is not causal.
    """
    model = loaded.model
    trial = model_trial(loaded, device, ALONE)
    at_load = plain_of_causal(trial, loaded)
    tried = PagedLoop(model, device, block_tokens=PROBE_BLOCK_TOKENS, seed=seed)
    choosing = Choosing(trial, model.config, {Feeding.SHARED: paged_way(tried)}, at_load)
    if choosing.usual is not Feeding.SHARED:
        raise PrerequisiteError(
            f"engine hf_paged cannot run this model: {'; '.join(choosing.reasons)}; "
            "use an hf word, such as hf_fp16 for pa_fp16"
        )
    loop = PagedLoop(model, device, block_tokens=block_tokens, seed=seed)
    step_tokens = pack_tokens(model.config, model.dtype.itemsize, budget_bytes(device))
    return PagedRows(loop, device, step_tokens), choosing


def paged_way(loop: PagedLoop) -> Way:
    """Return the way of a paged cache: two rows in flight, prompts in pieces, prefixes in shared blocks.

    Row 0 ends first, so that row 2 is taken in beside row 1, which is fed token by token.
    """

    def feed(tree: ProbeTree, dtype: Any) -> list[Part]:
        starts = tree.starts
        asked = [
            Asked(row[:-steps], start, steps + 1, keeps_logits=True, follows=row[-steps:])
            for row, start, steps in zip(tree.replayed, starts, (1, REPLAYED_STEPS, 1), strict=True)
        ]
        longest = max(row.fed_tokens for row in asked)
        # Two steps for the prompt of row 0, so that one reads what another has written; the second has room
        # for that of row 1.
        room = Room(2, longest, tree.limit + 3, is_timed=False)
        try:
            loop.open(room, dtype)
            answers = [answer for answers in loop.run(asked) for answer in answers]
        finally:
            loop.close()
        return [Part(answer.row, starts[answer.row], answer.logits) for answer in answers]

    return feed
