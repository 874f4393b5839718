"""The `hf` engine: transformers' own models with a contiguous KV cache, on cpu, cuda or npu.

On the cpu in float32 it is the reference that every other engine is compared with.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING

from engines.device import (
    choose_device,
    empty_cache,
    is_out_of_memory,
    peak_memory_bytes,
    seed_everything,
    versions,
)
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
    SpecError,
)

if TYPE_CHECKING:
    from engines.checkpoint_loading import Loaded
    from engines.encoding import Encoded, Encoder
    from engines.forward import ChoiceRow, Forward

WINDOW_BATCHES = 64
"""How many batches of requests are sorted by length together: enough to waste little padding."""

_REFERENCE_WORDS = "hf_"
"""Engine words that begin so mean the reference on the cpu unless a device is demanded."""


class HFEngine:
    """Completes requests with `AutoModelForCausalLM`."""

    name = "hf"
    capabilities = frozenset(
        {Capability.GENERATE, Capability.CHOICE_LOGPROBS, Capability.TOKEN_TIMES, Capability.IGNORE_EOS}
    )
    needs_weights = True

    def __init__(self) -> None:
        self._device = "cpu"
        self._loaded: Loaded | None = None

    def check(self, spec: RunSpec, model: ModelInfo) -> None:
        """Refuse several ranks, LoRA, quantised weights and unknown options."""
        if spec.world_size != 1 or spec.cluster is not None:
            raise PrerequisiteError(
                f"engine hf runs on one device; the words ask for {spec.world_size} "
                "(tensor parallelism of this engine is not available yet): give 1"
            )
        if model.quantize:
            raise PrerequisiteError(
                f"engine hf cannot run {model.quantize} weights ({model.path}); "
                "use an engine that can, or the float checkpoint"
            )
        if spec.lora or spec.kw_args:
            raise PrerequisiteError("engine hf does not take lora or encryption words; leave them out")
        if spec.engine_options:
            raise SpecError(f"engine hf has no options; given: {', '.join(sorted(spec.engine_options))}")

    def environment(self, spec: RunSpec, model: ModelInfo) -> Mapping[str, str]:
        """Return the profile's variables; the checkpoint is local, so no hub is asked."""
        return {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false", **model.environment}

    def load(self, spec: RunSpec, model: ModelInfo) -> EngineInfo:
        """Load the checkpoint; see `modeltest.api.Engine.load`."""
        from engines.checkpoint_loading import load_checkpoint

        begin = time.perf_counter()
        default = "cpu" if spec.engine.startswith(_REFERENCE_WORDS) else None
        self._device = choose_device(spec.device or os.environ.get("MODELTEST_DEVICE"), default=default)
        seed_everything(self._device, spec.seed)
        self._loaded = load_checkpoint(spec, model, self._device)
        loaded = self._loaded
        return EngineInfo(
            engine=self.name,
            device=self._device,
            dtype=loaded.dtype,
            vocabulary_size=loaded.model.config.vocab_size,
            special_token_ids=tuple(sorted({*loaded.tokenizer.all_special_ids, *loaded.eos_token_ids})),
            context_tokens=loaded.context_tokens,
            versions=versions(self._device, ("torch", "transformers", "tokenizers")),
            load_s=time.perf_counter() - begin,
        )

    def complete(self, requests: Iterable[Request], *, batch_size: int) -> Iterator[Sequence[Completion]]:
        """Yield completions batch by batch, longest prompts first within a window."""
        from engines.encoding import Encoder
        from engines.forward import Forward

        if self._loaded is None:
            raise EngineError("engine hf is asked before it has loaded a model")
        loaded = self._loaded
        encoder = Encoder(loaded.tokenizer, loaded.context_tokens)
        batches = _Batches(loaded, Forward(loaded.model, self._device, loaded.pad_token_id))
        remaining = iter(requests)
        while window := list(islice(remaining, batch_size * WINDOW_BATCHES)):
            encoded, failed = _encode_all(encoder, window)
            if failed:
                yield failed
            for same_kind in _by_kind(encoded):
                for begin in range(0, len(same_kind), batch_size):
                    yield self._guard(batches.complete, same_kind[begin : begin + batch_size])

    def peak_memory_bytes(self) -> int | None:
        """Return the peak memory since the last call."""
        return peak_memory_bytes(self._device)

    def usage(self) -> EngineUsage:
        """Return what was computed so far."""
        return EngineUsage()

    def close(self) -> None:
        """Free the model."""
        self._loaded = None
        empty_cache(self._device)

    def _guard(
        self, run: Callable[[Sequence[Encoded]], list[Completion]], batch: Sequence[Encoded]
    ) -> list[Completion]:
        try:
            return run(batch)
        except Exception as problem:
            if not is_out_of_memory(problem):
                raise
            longest = max(len(encoded.prompt_ids) for encoded in batch)
            text = f"out of memory with {len(batch)} rows of up to {longest} prompt tokens: {problem}"
        # Outside the handler: the traceback it holds would keep the tensors alive.
        empty_cache(self._device)
        raise OutOfMemory(" ".join(text.split())[:400])


class _Batches:
    """Completes batches whose requests all want the same kind of answer."""

    def __init__(self, loaded: Loaded, forward: Forward) -> None:
        self._loaded = loaded
        self._forward = forward

    def complete(self, batch: Sequence[Encoded]) -> list[Completion]:
        if batch[0].choice_ids:
            return self._choose(batch)
        return self._generate(batch)

    def _choose(self, batch: Sequence[Encoded]) -> list[Completion]:
        rows = [row for encoded in batch for row in _rows_of(encoded)]
        # Choices of several tokens make more rows than requests; the batch size bounds rows.
        values = iter(
            logprob
            for begin in range(0, len(rows), len(batch))
            for row in self._forward.choice_logprobs(rows[begin : begin + len(batch)])
            for logprob in row
        )
        return [
            _completion(encoded, choice_logprobs=tuple(islice(values, len(encoded.choice_ids))))
            for encoded in batch
        ]

    def _generate(self, batch: Sequence[Encoded]) -> list[Completion]:
        request = batch[0].request
        generation = self._forward.generate(
            [encoded.prompt_ids for encoded in batch],
            max_new_tokens=request.max_new_tokens,
            eos_token_ids=frozenset() if request.ignore_eos else self._loaded.eos_token_ids,
            stops=self._stops(batch) if any(encoded.request.stop for encoded in batch) else None,
        )
        return [
            self._generated(encoded, generation.tokens[row], generation.times_ns, generation.stopped[row])
            for row, encoded in enumerate(batch)
        ]

    def _generated(
        self, encoded: Encoded, tokens: tuple[int, ...], times_ns: tuple[int, ...], stopped: bool
    ) -> Completion:
        # Text of a timed run is never read, and decoding thousands of rows takes longer than measuring.
        text = None if encoded.request.ignore_eos else self._text(tokens)
        for stop in encoded.request.stop:
            text = text.split(stop, 1)[0] if text is not None else None
        return _completion(
            encoded,
            text=text,
            output_tokens=tokens,
            token_times_ns=times_ns[: len(tokens)],
            finish=Finish.STOP if stopped else Finish.LENGTH,
        )

    def _stops(self, batch: Sequence[Encoded]) -> Callable[[int, list[int]], bool]:
        def stops(row: int, tokens: list[int]) -> bool:
            text = self._text(tokens)
            return any(stop in text for stop in batch[row].request.stop)

        return stops

    def _text(self, tokens: Sequence[int]) -> str:
        text: str = self._loaded.tokenizer.decode(tokens, skip_special_tokens=True)
        return text


def _encode_all(encoder: Encoder, window: Sequence[Request]) -> tuple[list[Encoded], list[Completion]]:
    encoded, failed = [], []
    for request in window:
        try:
            encoded.append(encoder.encode(request))
        except ValueError as problem:
            failed.append(Completion(request.id, error=str(problem)))
    return encoded, failed


def _by_kind(encoded: Sequence[Encoded]) -> Iterator[list[Encoded]]:
    """Yield the requests that may share a batch, longest first so that memory runs out early or never."""
    kinds: dict[tuple[bool, int, bool], list[Encoded]] = {}
    for one in encoded:
        request = one.request
        kind = (bool(one.choice_ids), request.max_new_tokens, request.ignore_eos)
        kinds.setdefault(kind, []).append(one)
    for same_kind in kinds.values():
        yield sorted(same_kind, key=lambda one: -len(one.prompt_ids))


def _rows_of(encoded: Encoded) -> list[ChoiceRow]:
    from engines.forward import ChoiceRow

    if all(len(ids) == 1 for ids in encoded.choice_ids):
        return [ChoiceRow(encoded.prompt_ids, encoded.choice_ids)]
    return [ChoiceRow(encoded.prompt_ids + ids[:-1], (ids,)) for ids in encoded.choice_ids]


def _completion(encoded: Encoded, **values: object) -> Completion:
    return Completion(
        request_id=encoded.request.id,
        prompt_tokens=encoded.prompt_ids,
        choice_tokens=encoded.choice_ids,
        dropped_shots=encoded.dropped_shots,
        cut_prompt_tokens=encoded.cut_tokens,
        **values,  # type: ignore[arg-type]
    )
