"""The `hf` engine: transformers' own models with a contiguous KV cache, on cpu, cuda or npu.

On the cpu in float32 it is the reference that every other engine is compared with.
"""

from __future__ import annotations

import gc
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engines.common.device import (
    choose_device,
    describe_device,
    empty_cache,
    peak_memory_bytes,
    prepare_device,
    processor_use,
    rank_variables,
    seed_everything,
    use_device,
    versions,
)
from engines.common.device_errors import naming_device_errors
from engines.common.memory import memory_limit_bytes
from engines.common.npu import AUTOLOAD_OFF
from engines.hf.model.transformers_versions import obstacle as version_obstacle
from engines.hf.ranks.splitting import Degrees, check_replicas, check_split, degrees
from modeltest.api import (
    Capability,
    Completion,
    EngineError,
    EngineInfo,
    EngineUsage,
    ModelInfo,
    PrerequisiteError,
    Request,
    RunSpec,
    SpecError,
    Tokenizer,
)

if TYPE_CHECKING:
    from engines.common.encoding import Encoded, Encoder
    from engines.common.text_tokens import TextTokens
    from engines.hf.answering.model_answers import Answering
    from engines.hf.model.checkpoint_loading import Loaded
    from engines.hf.ranks.group import RankGroup
    from engines.hf.ranks.team import Leader, Member

WINDOW_REQUESTS = 1024
"""How many requests are looked at together for common prefixes."""

_WORKER_VARIABLES = {
    "HF_HUB_OFFLINE": "1",
    "TOKENIZERS_PARALLELISM": "true",
    **AUTOLOAD_OFF,  # torch_npu is imported when the device is known
    # glibc gives every large block back to the kernel and gets it back zeroed, page by page: up to a fifth
    # of the time of a small model on the cpu. 32 MiB is the largest threshold it takes.
    "MALLOC_MMAP_THRESHOLD_": str(32 << 20),
    "MALLOC_TRIM_THRESHOLD_": str(1 << 32),
}


class HFEngine:
    """Completes requests with `AutoModelForCausalLM`."""

    name = "hf"
    capabilities = frozenset(
        {
            Capability.GENERATE,
            Capability.CHOICE_LOGPROBS,
            Capability.TOKEN_LOGPROBS,
            Capability.TOKEN_TIMES,
            Capability.IGNORE_EOS,
            Capability.SAMPLE,
        }
    )
    needs_weights = True

    def __init__(self) -> None:
        self._device = "cpu"
        self._device_notes: tuple[str, ...] = ()
        self._loaded: Loaded | None = None
        self._texts: TextTokens | None = None
        self._encoder: Encoder | None = None
        self._answers: Answering | None = None
        self._degrees = Degrees(replicas=1, split=1)
        self._group: RankGroup | None = None
        self._leader: Leader | None = None
        self._peak_bytes: int | None = 0

    def obstacle(self, spec: RunSpec | None = None) -> str | None:
        """Return why this engine can run no model here, or `None`; see `modeltest.api.Demanding`."""
        return version_obstacle()

    def check(self, spec: RunSpec, model: ModelInfo) -> None:
        """Refuse unknown versions and options, ranks that cannot share work, and quantised weights."""
        if reason := version_obstacle():
            raise PrerequisiteError(f"engine {self.name} cannot run here: {reason}")
        asked = degrees(spec)
        check_replicas(spec, asked)
        if model.quantize:
            raise PrerequisiteError(
                f"engine {self.name} cannot run {model.quantize} weights ({model.path}); "
                "use an engine that can, or the float checkpoint"
            )
        if spec.kw_args:
            raise PrerequisiteError(f"engine {self.name} does not take encryption words; leave them out")
        if spec.engine_options:
            raise SpecError(
                f"engine {self.name} has no options; given: {', '.join(sorted(spec.engine_options))}"
            )
        check_split(model, asked.split)

    def environment(self, spec: RunSpec, model: ModelInfo) -> Mapping[str, str]:
        """Return the profile's variables; the checkpoint is local, so no hub is asked."""
        of_ranks = (
            rank_variables(self._demanded_device(spec), is_alone=spec.cluster is None)
            if spec.world_size > 1
            else {}
        )
        return {**_WORKER_VARIABLES, **of_ranks, **model.environment}

    def load(self, spec: RunSpec, model: ModelInfo) -> EngineInfo:
        """Load the checkpoint; see `modeltest.api.Engine.load`."""
        from engines.hf.ranks.team import Leader

        info = self._load_together(spec, model)
        if self._group is not None:
            self._leader = Leader(self._group, self._member())
        return info

    def begin(self, spec: RunSpec, model: ModelInfo) -> EngineInfo:
        """Get ready for another run with the loaded model; see `modeltest.api.Reusable`."""
        if self._leader is not None:
            return self._leader.begin(spec)
        return self._begin(spec)

    def follow(self, spec: RunSpec, model: ModelInfo) -> None:
        """Load this rank's part and do what rank 0 asks; see `modeltest.api.Following`."""
        from engines.hf.ranks.team import follow

        try:
            self._load_together(spec, model)
        except Exception as problem:
            if self._group is not None and self._group.is_agreed(problem):
                return
            raise
        assert self._group is not None
        follow(self._group, self._member())

    def complete(self, requests: Iterable[Request], *, batch_size: int) -> Iterator[Sequence[Completion]]:
        """Yield completions as they are computed; see `modeltest.api.Engine.complete`.

        Requests are taken in windows whose size does not depend on the batch size, so that what is shared
        does not either. The next window is tokenized beside the forward passes of this one.
        """
        if self._loaded is None:
            raise EngineError(f"engine {self.name} is asked before it has loaded a model")
        with naming_device_errors():
            yield from self._complete(requests, batch_size)

    def _complete(self, requests: Iterable[Request], batch_size: int) -> Iterator[Sequence[Completion]]:
        remaining = iter(requests)
        window = WINDOW_REQUESTS * self._degrees.replicas
        with ThreadPoolExecutor(1, thread_name_prefix="tokenizing") as tokenizing:
            ahead = tokenizing.submit(self._encode, list(islice(remaining, window)))
            while True:
                encoded, failed = ahead.result()
                if not encoded and not failed:
                    return
                ahead = tokenizing.submit(self._encode, list(islice(remaining, window)))
                if failed:
                    yield failed
                if encoded:
                    yield from (self._leader or self._member()).answer(encoded, batch_size)

    def peak_memory_bytes(self) -> int | None:
        """Return the peak memory since the last call, of the rank that needed most."""
        return (self._leader or self._member()).peak_memory_bytes()

    def usage(self) -> EngineUsage:
        """Return what was computed so far, by all ranks."""
        return (self._leader or self._member()).usage()

    def tokenizer(self) -> Tokenizer:
        """Return the tokenizer of the checkpoint."""
        from engines.common.tokenizing import CheckpointTokenizer

        if self._texts is None:
            raise EngineError(f"engine {self.name} is asked for its tokenizer before it has loaded a model")
        return CheckpointTokenizer(self._texts)

    def module(self) -> Any:
        """Return the loaded model; see `modeltest.api.HoldingModule`."""
        if self._loaded is None:
            raise EngineError(f"engine {self.name} is asked for its model before it has loaded one")
        return self._loaded.model

    def feed_plainly(self) -> None:
        """Pad rows and share nothing from now on; see `modeltest.api.HoldingModule`."""
        if self._answers is None:
            raise EngineError(f"engine {self.name} is asked to feed a model before it has loaded one")
        self._answers.share_nothing()

    def traced(self, work: Callable[[], None], folder: Path, name: str) -> Path:
        """Record what this rank computes in `work`; see `modeltest.api.Traceable`."""
        from engines.common.profiling import traced

        return traced(self._device, work, folder, name)

    def close(self) -> None:
        """Free the model, on all ranks."""
        if self._leader is not None:
            self._leader.close()
        self._leader = self._group = None
        if self._answers is not None:
            self._answers.close()
        if self._texts is not None:
            self._texts.template.close()
        self._loaded = self._answers = self._texts = self._encoder = None
        empty_cache(self._device)

    def _member(self) -> Member:
        """Return what this rank can do."""
        from engines.hf.ranks.team import Member

        return Member(self._answer_all, self._own_peak_memory_bytes, self._own_usage, self._begin)

    def _load_together(self, spec: RunSpec, model: ModelInfo) -> EngineInfo:
        """Load this rank's part, or fail as every other rank does."""
        if spec.world_size == 1:
            self._choose_device(spec)
            return self._load(spec, model)
        from engines.hf.ranks.group import join
        from engines.hf.ranks.model_group import ModelGroup

        self._degrees = degrees(spec)
        self._group = group = join(spec.world_size)
        group.attempt(lambda: self._choose_device(spec))
        if self._degrees.split > 1:
            group.model = ModelGroup(self._device)
        return self._shared(group.attempt(lambda: self._load(spec, model)))

    def _begin(self, spec: RunSpec) -> EngineInfo:
        """Make this rank ready for another run, or fail as every other rank does."""
        if self._group is None:
            return self._cleared(spec)
        return self._shared(self._group.attempt(lambda: self._cleared(spec)))

    def _shared(self, info: EngineInfo) -> EngineInfo:
        """Return `info` with how the ranks share the work; all ranks must ask."""
        from engines.hf.ranks.team import crowding_note, rank_use

        group = self._group
        assert group is not None
        crowding = crowding_note(self._device, group.local_size)
        return replace(
            info, ranks=rank_use(group, self._device, self._degrees), notes=(*info.notes, *crowding)
        )

    def _choose_device(self, spec: RunSpec) -> None:
        chosen = choose_device(self._demanded_device(spec))
        self._device = chosen.name
        prepare_device(chosen.name)
        if self._group is not None:
            use_device(chosen.name, self._group.local_rank, of=self._group.local_size)
        on_accelerator = (f"device {describe_device(chosen.name)}",) if chosen.name != "cpu" else ()
        self._device_notes = (*on_accelerator, *chosen.notes)

    def _demanded_device(self, spec: RunSpec) -> str | None:
        return spec.device or os.environ.get("MODELTEST_DEVICE")

    def _load(self, spec: RunSpec, model: ModelInfo) -> EngineInfo:
        from engines.common.encoding import Encoder
        from engines.common.text_config import vocabulary_size
        from engines.common.text_tokens import TextTokens
        from engines.hf.model.checkpoint_loading import load_checkpoint

        begin = time.perf_counter()
        seed_everything(self._device, spec.seed)
        split_by = self._group if self._degrees.split > 1 else None
        self._loaded = loaded = load_checkpoint(spec, model, self._device, split_by)
        self._texts = TextTokens(loaded.tokenizer)
        self._encoder = Encoder(self._texts, loaded.context_tokens, vocabulary_size(loaded.model))
        self._answers = self._prepare(spec, model)
        empty_cache(self._device)
        load_s = time.perf_counter() - begin
        return replace(self._described(spec), load_s=load_s)

    def _cleared(self, spec: RunSpec) -> EngineInfo:
        """Free what earlier requests left, and begin anew what counts or is random."""
        assert self._answers is not None
        self._answers.clear()
        gc.collect()
        empty_cache(self._device)
        seed_everything(self._device, spec.seed)
        self._own_peak_memory_bytes()
        self._peak_bytes = 0
        return self._described(spec)

    def _described(self, spec: RunSpec) -> EngineInfo:
        from engines.common.device_peaks import peaks_for
        from engines.common.model_work import model_work
        from engines.common.text_config import vocabulary_size

        loaded = self._loaded
        assert loaded is not None
        assert self._texts is not None
        assert self._answers is not None
        peaks, peaks_notes = peaks_for(spec, self._device, loaded.model.dtype)
        return EngineInfo(
            engine=self.name,
            device=self._device,
            dtype=loaded.dtype,
            vocabulary_size=vocabulary_size(loaded.model),
            special_token_ids=tuple(sorted({*loaded.tokenizer.all_special_ids, *loaded.eos_token_ids})),
            context_tokens=loaded.context_tokens,
            versions=versions(self._device, ("torch", "transformers", "tokenizers")),
            implementations=loaded.implementations,
            notes=(
                self._answers.note,
                *self._texts.notes,
                *_overruled_note(loaded),
                *loaded.leftover_notes,
                *peaks_notes,
                *self._device_notes,
            ),
            processors=processor_use(),
            work=model_work(loaded.model, split=self._degrees.split),
            peaks=peaks,
            times_end_alone=True,
            memory_limit_bytes=memory_limit_bytes(self._device),
        )

    def _prepare(self, spec: RunSpec, model: ModelInfo) -> Answering:
        """Return what makes completions with the loaded model."""
        from engines.hf.answering.model_answers import ModelAnswers
        from engines.hf.model.sampling import Sampler
        from engines.hf.ranks.operations import ALONE, Ranks

        assert self._loaded is not None
        ranks: Ranks = self._group if self._group is not None and self._degrees.split > 1 else ALONE
        generation = spec.options.generation
        sampling = generation.sampling if generation is not None else None
        if sampling is None:
            return ModelAnswers(self._loaded, self._device, ranks)
        replica = self._group.rank if self._group is not None and self._degrees.replicas > 1 else 0
        drawn = Sampler(sampling, seed=spec.seed, device=self._device, replica=replica)
        return ModelAnswers(self._loaded, self._device, ranks, sampler=drawn)

    def _own_peak_memory_bytes(self) -> int | None:
        peak = peak_memory_bytes(self._device)
        known = self._peak_bytes is not None and peak is not None
        self._peak_bytes = max(self._peak_bytes or 0, peak or 0) if known else None
        return peak

    def _own_usage(self) -> EngineUsage:
        if self._answers is None:
            return EngineUsage()
        self._own_peak_memory_bytes()
        return replace(self._answers.usage(), peak_memory_bytes=self._peak_bytes)

    def _encode(self, window: Sequence[Request]) -> tuple[list[Encoded], list[Completion]]:
        from engines.common.encoding import encode_window

        assert self._encoder is not None
        return encode_window(self._encoder, window)

    def _answer_all(self, encoded: Sequence[Encoded], batch_size: int) -> Iterator[list[Completion]]:
        from engines.common.encoding import by_kind

        assert self._answers is not None
        for same_kind in by_kind(encoded):
            yield from self._answers.answer(same_kind, batch_size)


def _overruled_note(loaded: Loaded) -> tuple[str, ...]:
    if not loaded.overruled:
        return ()
    ran = ", ".join(f"{part} {name}" for part, name in loaded.implementations.items())
    said = f"config.json says how to run the model ({'; '.join(loaded.overruled)}), which is not followed"
    return (f"{said}: {ran}",)
