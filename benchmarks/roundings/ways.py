"""Questions asked of one loaded model in every way that is right, and in ways that are not."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch

from engines.common.encoding import Encoded, Encoder, encode_window
from engines.common.text_config import vocabulary_size
from engines.common.text_tokens import TextTokens
from engines.hf.answering.answers import choose
from engines.hf.answering.rows import PaddedRows, RowFeeder, tree_feeder
from engines.hf.model.checkpoint_loading import load_checkpoint
from engines.hf.model.forward import Forward
from engines.hf.paged.probe import paged_rows
from modeltest.api import AccuracyTask, RunSpec, TaskOptions
from modeltest.data.load import load_dataset
from modeltest.models.checkpoint import inspect_checkpoint
from modeltest.registry import load_task

Choices = Mapping[str, tuple[float, ...]]
"""The log-probability of each choice, by question."""

FREQUENCIES = 1.05
"""What a wrong port multiplies the frequencies of its rotary positions by."""


@dataclass(frozen=True, slots=True)
class Questions:
    """Which questions of a task are asked, in the protocol of lm-evaluation-harness.

    Of the first `limit` of each subject, in file order, one in `step`, and `most` at most: those of a step
    are among those of any step that divides it. `data_dir` `None`: the bundled sample.
    """

    task: str
    data_dir: str | None
    shots: int
    limit: int | None
    step: int
    most: int


class Bench:
    """A model in the dtype of its checkpoint, and what it is asked."""

    def __init__(self, checkpoint: str, asked: Questions) -> None:
        split = "sample" if asked.data_dir is None else "full"
        spec = RunSpec(
            "hf",
            asked.task,
            asked.task,
            "auto",
            checkpoint,
            options=TaskOptions(shots=asked.shots),
            split=split,
            protocol="lm-eval",
            batch_sizes=((8,),),
        )
        info = inspect_checkpoint(spec)
        self._block_tokens = info.block_size
        self._loaded = load_checkpoint(spec, info, "cpu")
        self._model = self._loaded.model
        self.dtype = self._loaded.dtype
        asking = load_task(asked.task)
        assert isinstance(asking, AccuracyTask)
        found = load_dataset(
            asking.dataset,
            split,
            data_dir=asked.data_dir,
            limit=asked.limit,
            shots_needed=bool(asked.shots),
        )
        texts = TextTokens(self._loaded.tokenizer)
        encoder = Encoder(texts, self._loaded.context_tokens, vocabulary_size(self._model))
        chosen = list(asking.requests(found.data, spec))[:: asked.step][: asked.most]
        encoded, failed = encode_window(encoder, chosen)
        texts.template.close()
        if failed:
            raise ValueError(f"{failed[0].request_id}: {failed[0].error}")
        self.questions: list[Encoded] = encoded

    def ways(self) -> dict[str, Callable[[], Choices]]:
        """Return what asks all questions, by the name of the way."""
        forward = Forward(self._model, "cpu", self._loaded.pad_token_id)
        packed, reason = tree_feeder(self._model, "cpu")
        if packed is None:
            raise ValueError(reason)
        return {
            **self._fed("padded", PaddedRows(forward)),
            **self._fed("packed", packed),
            **{f"paged, batch {size}": partial(self._paged, size) for size in (1, 8)},
            "mask sees the next token": partial(self._masked, 1),
            "mask hides the token itself": partial(self._masked, -1),
            "rotary frequencies 5 % off": self._turned,
            "8-bit weights": partial(self._quantised, activations=False),
            "8-bit weights and activations": partial(self._quantised, activations=True),
        }

    def _fed(self, name: str, feeder: RowFeeder) -> dict[str, Callable[[], Choices]]:
        return {f"{name}, batch {size}": partial(self._choices, feeder, size) for size in (1, 8)}

    def _choices(self, feeder: RowFeeder, batch_size: int) -> Choices:
        found = {}
        for batch in choose(self.questions, feeder, batch_size):
            for each in batch:
                if each.error is not None:
                    raise ValueError(f"{each.request_id}: {each.error}")
                found[each.request_id] = each.choice_logprobs
        return found

    def _paged(self, batch_size: int) -> Choices:
        paged, _ = paged_rows(self._loaded, "cpu", block_tokens=self._block_tokens, seed=0)
        try:
            return self._choices(paged, batch_size)
        finally:
            paged.loop.close()  # gives the model its own attention back

    def _masked(self, lookahead: int) -> Choices:
        return {each.request.id: self._through_mask(each, lookahead) for each in self.questions}

    @torch.inference_mode()
    def _through_mask(self, asked: Encoded, lookahead: int) -> tuple[float, ...]:
        """Return the choices of a row of which each position sees `lookahead` tokens more than it may."""
        length = len(asked.prompt_ids)
        hidden = torch.ones(length, length, dtype=torch.bool).triu(1 + lookahead)
        hidden[0, 0] = False  # a row that sees nothing has no softmax
        dtype = self._model.dtype
        mask = torch.zeros(1, 1, length, length, dtype=dtype).masked_fill(hidden, torch.finfo(dtype).min)
        ids = torch.tensor([asked.prompt_ids])
        logits = self._model(ids, attention_mask=mask, use_cache=False, logits_to_keep=1).logits[0, -1]
        logprobs = logits.float().log_softmax(-1)
        return tuple(float(logprobs[token]) for (token,) in asked.choice_ids)

    def _turned(self) -> Choices:
        rotary = self._model.model.rotary_emb
        kept = rotary.inv_freq
        rotary.inv_freq = kept * FREQUENCIES
        try:
            return self._masked(0)
        finally:
            rotary.inv_freq = kept

    def _quantised(self, *, activations: bool) -> Choices:
        with _quantised(self._model.model, activations=activations):
            return self._masked(0)


@contextmanager
def _quantised(model: Any, *, activations: bool) -> Iterator[None]:
    """Round the weights of linear layers to 8 bits by output, and what they read by token, while it lasts."""
    kept = []
    handles = []
    try:
        for module in model.modules():
            if isinstance(module, torch.nn.Linear):
                kept.append((module.weight, module.weight.data))
                module.weight.data = _in_8_bits(module.weight.data)
                if activations:
                    handles.append(module.register_forward_pre_hook(_round_input))
        yield
    finally:
        for handle in handles:
            handle.remove()
        for weight, values in kept:
            weight.data = values


def _round_input(_: Any, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    return (_in_8_bits(inputs[0]), *inputs[1:])


def _in_8_bits(values: Any) -> Any:
    """Return `values` rounded to 255 levels in each row."""
    scale = values.abs().amax(dim=-1, keepdim=True).clamp(min=1e-30) / 127
    return (values / scale).round() * scale
