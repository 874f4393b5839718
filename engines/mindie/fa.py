"""The `mindie_fa` engine: drives the `FARunner` of an installed MindIE on Ascend. See docs/ascend.md.

FARunner gives texts and nothing else: no logits, no ids, no time of a token, and no way to go on after the
end of a text. What needs those is refused before anything is loaded.

Source: Ascend/MindIE-LLM at 8b4871ad, examples/atb_models/examples/run_fa.py.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engines.common.device import empty_cache, peak_memory_bytes
from engines.common.stops import cut_at, stop_ids
from engines.mindie.engine import MindieEngine
from engines.mindie.environment import check_mindie
from engines.mindie.sizes import RunnerSize, first_size
from modeltest.api import (
    Capability,
    Completion,
    EngineError,
    EngineInfo,
    EngineUsage,
    Finish,
    ModelInfo,
    OutOfMemory,
    PrerequisiteError,
    Request,
    RunSpec,
)

if TYPE_CHECKING:
    from engines.common.encoding import Encoded

TWICE_NOTE = (
    "FARunner generates every answer twice, first one token and then the whole: its seconds hold both and "
    "are not reported; texts and counts are those of the second time"
)
TEXTS_NOTE = "FARunner gives texts only: output tokens are what the tokenizer makes of them"

TURNS_NOTE = (
    "FARunner knows the end of a text only: what a model of this family says behind the end of its turn, {}, "
    "is part of the answer; name it in eos_token_id of generation_config.json, or use pa_fp16 or pa_bf16"
)

UNSEEN = "FARunner leaves special tokens out of its texts and cannot stop at {}; use pa_fp16 or pa_bf16"

_NEVER_ALONE = "FARunner divides by the number of tokens after the first; ask it for 2 or more"


class MindieFA(MindieEngine):
    """Generates with `examples.run_fa.FARunner`: flash attention over a contiguous KV cache, greedy."""

    name = "mindie_fa"
    module = "run_fa"
    capabilities = frozenset({Capability.GENERATE, Capability.QUANTIZED_WEIGHTS})

    def __init__(self) -> None:
        super().__init__()
        self._spec: RunSpec | None = None
        self._model: ModelInfo | None = None
        self._class: Any = None
        self._runner: Any = None
        self._size: RunnerSize | None = None
        self._device = "cpu"
        self._computed_tokens = 0
        self._padding_tokens = 0
        self._split_batches = 0

    def check(self, spec: RunSpec, model: ModelInfo) -> None:
        """Refuse what FARunner cannot run, or would refuse after minutes of loading."""
        check_mindie(spec, model, self.module)
        if spec.kw_args:
            raise PrerequisiteError("FARunner does not read kw_args; leave the encryption word out")
        if spec.options.generation is not None and spec.options.generation.max_new_tokens == 1:
            raise PrerequisiteError(_NEVER_ALONE)
        if any(value > 1 for value in asdict(spec.parallel).values()):
            raise PrerequisiteError(
                "FARunner takes no parallel degrees; leave the brackets out, or use pa_fp16 or pa_bf16"
            )

    def load(self, spec: RunSpec, model: ModelInfo) -> EngineInfo:
        """Load the model in a runner of the predecessor's size."""
        from engines.mindie.library import import_runner

        begin = time.perf_counter()
        self._spec, self._model = spec, model
        self._class = import_runner(spec, "run_fa", "FARunner")
        self._make(first_size(spec, model))
        info = self._loaded(self._runner, spec, model, begin, notes=(TWICE_NOTE, TEXTS_NOTE))
        return replace(info, notes=(*info.notes, *self._turns_notes(spec, model)))

    def peak_memory_bytes(self) -> int | None:
        """Return the peak memory of this rank's device since the last call."""
        return peak_memory_bytes(self._device)

    def usage(self) -> EngineUsage:
        """Return what was computed so far; seconds are left out, see `TWICE_NOTE`."""
        return EngineUsage(
            computed_tokens=self._computed_tokens,
            reused_tokens=0,
            padding_tokens=self._padding_tokens,
            split_batches=self._split_batches,
        )

    def close(self) -> None:
        """Free the model; FARunner has no shutdown."""
        self._free()
        self._forget_texts()

    def _answer(self, same_kind: Sequence[Encoded], batch_size: int) -> Iterator[list[Completion]]:
        longest_first = sorted(same_kind, key=lambda one: -len(one.prompt_ids))
        for begin in range(0, len(longest_first), batch_size):
            yield from self._answer_batch(longest_first[begin : begin + batch_size])

    def _answer_batch(self, batch: Sequence[Encoded]) -> Iterator[list[Completion]]:
        """Yield one batch; if it does not fit, halves of it."""
        from engines.common.completions import completion

        request = batch[0].request
        refusal = _refusal(request)
        if refusal:
            yield [completion(encoded, error=refusal) for encoded in batch]
            return
        try:
            done = self._generate(batch)
        except OutOfMemory as problem:
            text = str(problem)
        else:
            yield done
            return
        # Outside the handler: what it holds would keep the old runner alive.
        self._free()
        self._split_batches += 1
        if len(batch) == 1:
            yield [completion(batch[0], error=text)]
            return
        for half in (batch[: len(batch) // 2], batch[len(batch) // 2 :]):
            yield from self._answer_batch(half)

    def _generate(self, batch: Sequence[Encoded]) -> list[Completion]:
        import torch

        from engines.mindie.library import errors_as_ours

        longest = max(len(encoded.prompt_ids) for encoded in batch)
        limit = batch[0].request.max_new_tokens
        self._fit(longest, limit, len(batch))
        pad = self._runner.model.postprocessor.pad_token_id or 0
        ids = torch.full((len(batch), longest), int(pad), dtype=torch.long)
        mask = torch.zeros_like(ids)
        for row, encoded in enumerate(batch):
            ids[row, longest - len(encoded.prompt_ids) :] = torch.tensor(encoded.prompt_ids)
            mask[row, longest - len(encoded.prompt_ids) :] = 1
        with errors_as_ours(f"FARunner with {len(batch)} rows of up to {longest} prompt tokens"):
            texts, _, _ = self._runner.infer(ids.to(self._runner.device), mask.to(self._runner.device))
        if len(texts) != len(batch):
            raise EngineError(f"FARunner.infer gave {len(texts)} texts for {len(batch)} requests")
        done = [self._completed(encoded, text) for encoded, text in zip(batch, texts, strict=True)]
        self._padding_tokens += int((mask == 0).sum())
        self._computed_tokens += ids.numel() + sum(max(len(one.output_tokens) - 1, 0) for one in done)
        return done

    def _completed(self, encoded: Encoded, text: str) -> Completion:
        from engines.common.completions import completion

        request = encoded.request
        if unseen := stop_ids(self._tokenizer, request.stop) - self._ends:
            tokens = " ".join(self._tokenizer.convert_ids_to_tokens(sorted(unseen)))
            return completion(encoded, error=UNSEEN.format(tokens))
        assert self._texts is not None
        ids = self._texts.ids(text)[: request.max_new_tokens]
        is_stopped = any(stop in text for stop in request.stop) or len(ids) < request.max_new_tokens
        text = cut_at(text, request.stop)
        return completion(
            encoded, text=text, output_tokens=ids, finish=Finish.STOP if is_stopped else Finish.LENGTH
        )

    def _turns_notes(self, spec: RunSpec, model: ModelInfo) -> tuple[str, ...]:
        """Return a note if FARunner goes on behind what ends a turn for the model's family."""
        from engines.common.tokenizer_loading import end_of_turn_ids

        unknown = end_of_turn_ids(self._tokenizer, spec, model) - self._ends
        tokens = " ".join(self._tokenizer.convert_ids_to_tokens(sorted(unknown)))
        return (TURNS_NOTE.format(tokens),) if unknown else ()

    def _fit(self, prompt_tokens: int, new_tokens: int, rows: int) -> None:
        """Make the runner anew if it does not take what is asked: it generates one number of tokens only."""
        wanted = RunnerSize(prompt_tokens, new_tokens, rows)
        if self._size is None:
            self._make(wanted)
        elif not self._size.holds(wanted) or self._size.output_tokens != new_tokens:
            self._make(replace(self._size.joined(wanted), output_tokens=new_tokens))

    def _make(self, size: RunnerSize) -> None:
        from engines.mindie.library import errors_as_ours, ranks

        assert self._spec is not None
        assert self._model is not None
        self._free()
        with errors_as_ours(f"making FARunner for {size}"):
            self._runner = self._class(
                **ranks(),
                model_path=str(Path(self._model.path).resolve()),
                trust_remote_code=self._spec.trust_remote_code,
                max_position_embeddings=self._spec.max_position_embeddings,
                max_input_length=size.input_tokens,
                max_output_length=size.output_tokens,
                batch_size=size.rows,
            )
        self._size = size
        self._device = str(self._runner.device).partition(":")[0]

    def _free(self) -> None:
        import gc

        self._runner = self._size = None
        gc.collect()
        empty_cache(self._device)


def _refusal(request: Request) -> str | None:
    if request.choices:
        return "FARunner gives no logits: choices cannot be scored; use pa_fp16 or pa_bf16"
    if request.ignore_eos:
        return "FARunner stops at the end of text; use pa_fp16 or pa_bf16"
    return _NEVER_ALONE if request.max_new_tokens == 1 else None
