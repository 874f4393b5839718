"""Engines for tests: transformers one row at a time, whole or broken as ports to a new device break."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from modeltest.api import Completion, Request

Fault = Callable[[torch.nn.Module], None]

RESIDUAL_SCALE = 64.0
"""Brings the residual stream of the demo model to the thousands that it has in large models; what the model
computes stays the same, for every layer normalises what it reads."""


class PlainEngine:
    """Scores choices of one token at the last position of the prompt.

    `lookahead` tokens too many are seen by every position: 0 is right, -1 hides a token from itself.
    """

    def __init__(
        self,
        weights: Path,
        *,
        lookahead: int = 0,
        fault: Fault | None = None,
        dtype: str = "float32",
    ) -> None:
        self.name = "plain"
        self._tokenizer = AutoTokenizer.from_pretrained(weights)
        self._model = AutoModelForCausalLM.from_pretrained(
            weights, dtype=getattr(torch, dtype), attn_implementation="eager"
        ).eval()
        self._lookahead = lookahead
        _scale_residual(self._model)
        if fault is not None:
            fault(self._model)

    def complete(self, requests: Iterable[Request], *, batch_size: int) -> Iterator[Sequence[Completion]]:
        for request in requests:
            yield [self._answer(request)]

    @torch.inference_mode()
    def _answer(self, request: Request) -> Completion:
        text = request.prompt.text
        ids = self._tokenizer(text)["input_ids"]
        length = len(ids)
        hidden = torch.ones(length, length, dtype=torch.bool).triu(1 + self._lookahead)
        hidden[0, 0] = False  # a row that sees nothing has no softmax
        dtype = self._model.dtype
        mask = torch.zeros(1, 1, length, length, dtype=dtype).masked_fill(hidden, torch.finfo(dtype).min)
        inputs = {"input_ids": torch.tensor([ids]), "attention_mask": mask}
        logits = self._model(**inputs, use_cache=False, logits_to_keep=1).logits
        logprobs = logits[0, -1].float().log_softmax(-1)
        tokens = [(self._tokenizer(text + str(choice))["input_ids"][-1],) for choice in request.choices]
        return Completion(
            request.id,
            prompt_tokens=tuple(ids),
            choice_tokens=tuple(tokens),
            choice_logprobs=tuple(float(logprobs[token]) for (token,) in tokens),
        )


def wrong_rotary_base(model: torch.nn.Module) -> None:
    """Turn positions with base 1,000,000 where the model was made for 10,000."""
    frequencies = model.model.rotary_emb.inv_freq
    exponents = torch.arange(len(frequencies)) / len(frequencies)
    model.model.rotary_emb.inv_freq = 1e6**-exponents


def slightly_rounded(model: torch.nn.Module) -> None:
    """Round the output embedding to float16: a port that is right and not identical."""
    model.lm_head.weight.data = model.lm_head.weight.data.half().float()


def float16_norms(model: torch.nn.Module) -> None:
    """Square in float16 in every norm: above 256 it overflows, and the norm gives 0 instead of a number."""
    for module in model.modules():
        if type(module).__name__.endswith("RMSNorm"):
            module.forward = _float16_norm(module)


def float16_residual(model: torch.nn.Module) -> None:
    """Hand the sum of all layers on in float16, for which it is too large: infinity, and NaN after it."""
    model.model.norm.register_forward_pre_hook(lambda _module, inputs: ((inputs[0] * 1000).half().float(),))


def _float16_norm(module: torch.nn.Module) -> Callable[[torch.Tensor], torch.Tensor]:
    def forward(states: torch.Tensor) -> torch.Tensor:
        squares = states.half().pow(2).float().mean(-1, keepdim=True)
        return module.weight * states * torch.rsqrt(squares + 1e-5)

    return forward


def _scale_residual(model: torch.nn.Module) -> None:
    with torch.no_grad():
        model.model.embed_tokens.weight *= RESIDUAL_SCALE
        for layer in model.model.layers:
            layer.self_attn.o_proj.weight *= RESIDUAL_SCALE
            layer.mlp.down_proj.weight *= RESIDUAL_SCALE
