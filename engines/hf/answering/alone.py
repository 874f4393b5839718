"""Generation of one row by `model.generate`: for models that no faster way is right for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from engines.common.completions import completion
from engines.common.encoding import Encoded
from engines.common.endings import ends_of
from engines.common.memory import attempt
from engines.hf.answering.answers import generated
from engines.hf.model.forward import NOT_A_NUMBER, Forward
from modeltest.api import Completion

if TYPE_CHECKING:
    from engines.hf.model.checkpoint_loading import Loaded


def generate_alone(batch: Sequence[Encoded], loaded: Loaded, forward: Forward) -> Iterator[Completion]:
    """Yield the generations of `batch`, row by row, by `model.generate`, each as if it were the first.

    A model whose cache is of its own kind, or that recomputes it at some length, has its own code for that,
    and only `generate` calls it.
    """
    for encoded in batch:
        ends = ends_of([encoded], loaded)
        forward.forget()
        work = partial(_generate, encoded, loaded, forward.device, ends)
        said, problem = attempt(
            partial(forward.ranks.attempt, work),
            device=forward.device,
            what=f"one row of {len(encoded.prompt_ids)} prompt tokens",
        )
        if said is None:
            yield completion(encoded, error=problem)
        else:
            yield generated(encoded, *said, loaded)
    forward.forget()


def _generate(encoded: Encoded, loaded: Loaded, device: str, ends: Any) -> tuple[tuple[int, ...], bool]:
    import torch
    from transformers import GenerationConfig

    prompt = torch.tensor([encoded.prompt_ids], device=device)
    begin = prompt.shape[1]
    watch = _Watch(begin, ends)
    plain = GenerationConfig(
        max_new_tokens=encoded.request.max_new_tokens, do_sample=False, pad_token_id=loaded.pad_token_id
    )
    with torch.inference_mode(), _as_configured(loaded.model, plain):
        output = loaded.model.generate(
            prompt,
            attention_mask=torch.ones_like(prompt),
            generation_config=plain,
            logits_processor=[watch.look],
            stopping_criteria=[watch.stop],
        )
    tokens = tuple(output[0, begin:].tolist())
    if watch.saw_nan:
        return (*tokens[:-1], NOT_A_NUMBER), True
    return tokens, watch.ended


class _Watch:
    """Sees each step's logits and tokens, and ends the row."""

    def __init__(self, begin: int, ends: Any) -> None:
        self._begin = begin
        self._ends = ends
        self.saw_nan = False
        self.ended = False

    def look(self, _: Any, logits: Any) -> Any:
        self.saw_nan = bool(logits.isnan().any())
        return logits

    def stop(self, ids: Any, _: Any, **__: Any) -> Any:
        import torch

        tokens = ids[0, self._begin :].tolist()
        self.ended = self.saw_nan or bool(self._ends(0, tokens[-1], tokens))
        return torch.tensor([self.ended], device=ids.device)


@contextmanager
def _as_configured(model: Any, plain: Any) -> Iterator[None]:
    """Let the model generate as `plain` says; what its checkpoint sets would fill whatever is unset there."""
    before = model.generation_config
    model.generation_config = plain
    try:
        yield
    finally:
        model.generation_config = before
