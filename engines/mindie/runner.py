"""MindIE's PARunner behind a narrow door.

Nothing else of it is touched than the attributes used here. Every rank makes the same calls in one order.

Source: Ascend/MindIE-LLM at 8b4871ad, examples/atb_models/examples/run_pa.py.
"""

from __future__ import annotations

import copy
import gc
import json
import math
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engines.common.device import empty_cache
from engines.common.lora_adapters import adapter_paths
from engines.common.tokenizer_loading import end_of_turn_ids
from engines.mindie.environment import LOGITS_VARIABLE, recorded
from engines.mindie.library import (
    errors_as_ours,
    import_runner,
    ranks,
    read_environment_again,
    with_ends,
)
from engines.mindie.lora import NO_ADAPTER
from engines.mindie.sizes import RunnerSize
from modeltest.api import EngineError, ModelInfo, ModelTestError, RunSpec

_DEGREES = ("dp", "tp", "sp", "cp", "moe_tp", "moe_ep", "pp")


@dataclass(frozen=True, slots=True)
class RunnerRow:
    """One request: its prompt, and the LoRA adapter that answers it; `None` for the model as it is."""

    ids: tuple[int, ...]
    adapter: str | None = None


@dataclass(frozen=True, slots=True)
class Inferred:
    """What one call gave: a text or a tensor of ids per request, tokens per request, and its seconds."""

    texts: Sequence[Any]
    counts: tuple[int, ...]
    seconds: float


class PagedRunner:
    """One PARunner at a time, made anew when what is asked for outgrows it.

    The KV cache is made by the first `infer` of a size, so that a batch which does not fit is found out by
    the batch, and not by loading.
    """

    def __init__(self, spec: RunSpec, model: ModelInfo, *, with_tokenizer: bool) -> None:
        self._spec = spec
        self._model = model
        self._with_tokenizer = with_tokenizer
        self._adapters = adapter_paths(model) if spec.lora else None
        self._class = import_runner(spec, "run_pa", "PARunner")
        self._can_save_logits = "logits" in recorded(os.environ)
        self._runner: Any = None
        self.is_warm = False
        self.size: RunnerSize | None = None
        self.device = "cpu"

    @property
    def raw(self) -> Any:
        """The runner itself.

        Raises: EngineError when there is none.
        """
        if self._runner is None:
            raise EngineError("MindIE's PARunner is asked before it is made")
        return self._runner

    def make(self, size: RunnerSize, prefill_rows: int | None = None) -> None:
        """Load the model in a runner of `size`, after freeing the one before.

        `prefill_rows`: how many requests its warm-up prefills, of a runner with room for more; the words may
        say otherwise.

        Raises: OutOfMemory, EngineError.
        """
        self.free()
        with errors_as_ours(f"making PARunner for {size}"):
            self._runner = self._class(**self._arguments(size, prefill_rows))
            self._end_turns(self._runner)
        self.size = size
        self.device = str(self._runner.device).partition(":")[0]

    @property
    def shares_prompts(self) -> bool:
        """Whether ranks share the tokens of a prompt: what MindIE saves of it is padded then, or a part."""
        return max(self._spec.parallel.sp, self._spec.parallel.cp) > 1

    def infer(
        self, rows: Sequence[RunnerRow], *, max_new_tokens: int, ignore_eos: bool, with_logits: bool = False
    ) -> Inferred:
        """Run requests together, in their order; `with_logits` leaves those of each step in a file.

        Raises: OutOfMemory; EngineError also when the answer is not of the form PARunner gives.
        """
        runner = self.raw
        self.warm_up()
        self._switch_logits(with_logits)
        with _kept_end_of_text(runner), errors_as_ours(f"running {len(rows)} requests"):
            # A single prompt would be repeated batch_size times; with more, batch_size is not looked at.
            answer = runner.infer(self._inputs(rows), len(rows), max_new_tokens, ignore_eos)
            return _checked(answer, len(rows))

    def prefill_tokens(self) -> int:
        """Return how many prompt tokens a prefill takes; requests beyond wait for the next.

        Raises: EngineError when the runner, which must be warm, does not say.
        """
        said = self.raw.max_prefill_tokens
        if not isinstance(said, int) or said <= 0:
            raise EngineError(f"PARunner.max_prefill_tokens is {said!r} after warm_up; a number was expected")
        return said

    def free(self) -> None:
        """Give the model's memory back."""
        runner, self._runner, self.size, self.is_warm = self._runner, None, None, False
        if runner is not None:
            with errors_as_ours("shutting PARunner down"):
                runner.shutdown()
        del runner
        gc.collect()
        empty_cache(self.device)

    def warm_up(self) -> None:
        """Make the KV cache, once for a runner.

        Raises: OutOfMemory, after which there is no runner; EngineError.
        """
        if self.is_warm:
            return
        assert self.size is not None
        try:
            with errors_as_ours(f"PARunner.warm_up for {self.size}"):
                self.raw.warm_up()
        except ModelTestError:
            self.free()  # its KV cache may be there in part
            raise
        self.is_warm = True

    def _end_turns(self, runner: Any) -> None:
        """Let what ends a turn for the model's family end an answer too, in conversations."""
        if runner.tokenizer is None:
            return
        if ends := end_of_turn_ids(runner.tokenizer, self._spec, self._model):
            postprocessor = runner.model.postprocessor
            postprocessor.eos_token_id = with_ends(postprocessor.eos_token_id, ends)

    def _switch_logits(self, wanted: bool) -> None:
        """Have MindIE save logits or not: it does at every step, and those of a long answer fill a disk."""
        value = "1" if wanted else "0"
        if not self._can_save_logits or os.environ[LOGITS_VARIABLE] == value:
            return
        # One of the few variables it reads again, if it saved anything when it was imported.
        os.environ[LOGITS_VARIABLE] = value
        with errors_as_ours("switching the saving of logits"):
            read_environment_again()

    def _inputs(self, rows: Sequence[RunnerRow]) -> list[Any]:
        """Return requests as PARunner takes them: of which kind all are, it judges from the first."""
        if self._adapters is None:
            return [list(row.ids) for row in rows]
        import torch

        return [{"prompt": torch.tensor(row.ids), "adapter": row.adapter or NO_ADAPTER} for row in rows]

    def _arguments(self, size: RunnerSize, prefill_rows: int | None) -> dict[str, Any]:
        spec, parallel = self._spec, self._spec.parallel
        return {
            **ranks(),
            "model_path": str(Path(self._model.path).resolve()),
            "trust_remote_code": spec.trust_remote_code,
            "load_tokenizer": self._with_tokenizer,
            "block_size": self._model.block_size,
            "max_batch_size": size.rows,
            "max_input_length": size.input_tokens,
            "max_output_length": size.output_tokens,
            **self._prefill(size, prefill_rows),
            "max_position_embeddings": spec.max_position_embeddings,
            **{name: getattr(parallel, name) for name in _DEGREES},
            "microbatch_size": min(parallel.microbatch, size.rows),
            **({} if spec.kw_args is None else {"kw_args": spec.kw_args}),
            **({} if self._adapters is None else {"lora_modules": json.dumps(self._adapters)}),
        }

    def _prefill(self, size: RunnerSize, prefill_rows: int | None) -> dict[str, int]:
        """Return what says how many prompts are prefilled together: the words, or room for all at once."""
        options = self._spec.options
        given = {
            "max_prefill_batch_size": options.prefill_batch_size,
            "prefill_length": options.prefill_length,
        }
        found = {name: value for name, value in given.items() if value is not None}
        if found or prefill_rows is None:
            return {"max_prefill_tokens": -1, **found}
        rows_of_replica = math.ceil(size.rows / max(self._spec.parallel.dp, 1))
        tokens = rows_of_replica * (size.input_tokens + size.output_tokens)
        return {"max_prefill_tokens": tokens, "max_prefill_batch_size": min(prefill_rows, size.rows)}


@contextmanager
def _kept_end_of_text(runner: Any) -> Iterator[None]:
    """Undo what `ignore_eos` does to the runner for good."""
    postprocessor = runner.model.postprocessor
    kept = copy.deepcopy(postprocessor.eos_token_id)
    try:
        yield
    finally:
        postprocessor.eos_token_id = kept


def _checked(answer: Any, requests: int) -> Inferred:
    if not isinstance(answer, tuple) or len(answer) != 3:
        raise EngineError(f"PARunner.infer gave {type(answer).__name__}, not texts, token counts and seconds")
    texts, cumulative, seconds = answer
    if len(texts) != requests or len(cumulative) != requests:
        raise EngineError(
            f"PARunner.infer gave {len(texts)} texts and {len(cumulative)} token counts "
            f"for {requests} requests"
        )
    return Inferred(texts, _differences(cumulative), float(seconds))


def _differences(cumulative: Sequence[Any]) -> tuple[int, ...]:
    """Return the tokens of each request from `(i, tokens of requests 0 to i)`.

    Raises: EngineError.
    """
    counts, before = [], 0
    for row, entry in enumerate(cumulative):
        pair = tuple(entry) if isinstance(entry, (tuple, list)) else ()
        if len(pair) != 2 or int(pair[0]) != row or int(pair[1]) <= before:
            raise EngineError(
                f"PARunner.infer gave the token counts {list(cumulative)!r:.120}; "
                "pairs of a request's number and the tokens up to it were expected"
            )
        counts.append(int(pair[1]) - before)
        before = int(pair[1])
    return tuple(counts)
