"""The paged loop of a model, tried against the plain pass before anything is asked."""

from __future__ import annotations

from typing import TYPE_CHECKING

from engines.beliefs import ways
from engines.beliefs.choosing import Choosing, Feeding
from engines.model_answers import model_trial, plain_of_causal
from engines.packed import pack_tokens
from engines.paged_loop import PagedLoop
from engines.paged_rows import PagedRows
from engines.ranks import ALONE
from engines.rows import budget_bytes
from modeltest.api import PrerequisiteError

if TYPE_CHECKING:
    from engines.checkpoint_loading import Loaded

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
    choosing = Choosing(trial, model.config, {Feeding.SHARED: ways.paged(tried)}, at_load)
    if choosing.usual is not Feeding.SHARED:
        raise PrerequisiteError(
            f"engine hf_paged cannot run this model: {'; '.join(choosing.reasons)}; "
            "use an hf word, such as hf_fp16 for pa_fp16"
        )
    loop = PagedLoop(model, device, block_tokens=block_tokens, seed=seed)
    step_tokens = pack_tokens(model.config, model.dtype.itemsize, budget_bytes(device))
    return PagedRows(loop, device, step_tokens), choosing
