"""The paged loop of a model, tried against a plain forward pass before anything is asked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from engines.continuous_batching import Room
from engines.device import is_out_of_memory
from engines.packed import pack_tokens
from engines.paged_loop import Asked, PagedLoop
from engines.paged_rows import PagedRows
from engines.rows import PROBE_TOLERANCE, budget_bytes
from modeltest.api import PrerequisiteError

if TYPE_CHECKING:
    from engines.checkpoint_loading import Loaded

_PROBE_TOKENS = 40
_PROBE_STEP_TOKENS = 24
"""Fewer than a row of the probe has: its second step must read what the first has written."""


def paged_rows(loaded: Loaded, device: str, *, block_tokens: int, seed: int) -> PagedRows:
    """Return what feeds rows to the loaded model through a paged cache.

    Raises: PrerequisiteError when the model's answers would not be those of a plain forward pass.
    """
    model = loaded.model
    plain = _plain_logprobs(model, device)
    loop = PagedLoop(model, device, block_tokens=block_tokens, seed=seed)
    try:
        difference = _difference(_paged_logprobs(loop), plain)
    except Exception as problem:
        if is_out_of_memory(problem):
            raise
        loop.close()
        raise _refusal(f"its attention does not work there ({_one_line(problem)})") from None
    if not difference <= PROBE_TOLERANCE.get(loaded.dtype, 0.0):
        loop.close()
        raise _refusal(f"its log-probabilities differ by {difference:.2g} from a plain forward pass")
    loop.drop()
    loop.forward_s, loop.forward_calls, loop.computed_tokens = 0.0, 0, 0
    step_tokens = pack_tokens(model.config, model.dtype.itemsize, budget_bytes(device))
    return PagedRows(loop, device, step_tokens)


def _probe_ids(model: Any) -> tuple[int, ...]:
    return tuple(token * 7 % model.config.vocab_size for token in range(1, _PROBE_TOKENS + 1))


def _plain_logprobs(model: Any, device: str) -> Any:
    import torch

    with torch.inference_mode():
        logits = model(input_ids=torch.tensor([_probe_ids(model)], device=device), use_cache=False).logits
    return logits[0].float().log_softmax(-1)


def _paged_logprobs(loop: PagedLoop) -> Any:
    ids = _probe_ids(loop.model)
    loop.open(Room(1, len(ids), _PROBE_STEP_TOKENS, is_timed=False))
    ((answer,),) = loop.run([Asked(ids, read_from=0, keeps_logits=True)])
    return answer.logits.float().log_softmax(-1)


def _difference(paged: Any, plain: Any) -> float:
    """Return the largest difference; a model that says NaN says so in its answers, whatever feeds it."""
    same = (paged == plain) | plain.isnan()
    return float((paged - plain).abs().masked_fill(same, 0.0).max())


def _refusal(reason: str) -> PrerequisiteError:
    return PrerequisiteError(
        f"engine hf_paged cannot run this model: {reason}; use an hf word, such as hf_fp16 for pa_fp16"
    )


def _one_line(problem: Exception) -> str:
    return f"{type(problem).__name__}: {' '.join(str(problem).split()):.200}"
