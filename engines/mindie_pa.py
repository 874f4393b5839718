"""The `mindie_pa` engine: drives the `PARunner` of an installed MindIE on Ascend. See docs/ascend.md."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engines.device import peak_memory_bytes, versions
from engines.mindie_degrees import check_degrees, check_pipeline
from engines.mindie_environment import (
    VERSIONED_PACKAGES,
    MindieOptions,
    check_mindie,
    device_name,
    environment,
    file_environment,
    run_notes,
    why_no_mindie,
)
from engines.mindie_lora import check_lora
from engines.mindie_timed_sizes import KeyValueMemory, TimedSizes, rows_asked
from modeltest.api import (
    Capability,
    Completion,
    EngineError,
    EngineInfo,
    EngineUsage,
    ModelInfo,
    PrerequisiteError,
    RankUse,
    Request,
    RunSpec,
    SpecError,
    Tokenizer,
)

if TYPE_CHECKING:
    from engines.encoding import Encoded, Encoder
    from engines.mindie_answers import PagedAnswers
    from engines.mindie_files import RunnerFiles
    from engines.mindie_runner import PagedRunner
    from engines.mindie_team import LedRunner

WINDOW_REQUESTS = 1024
"""How many requests are tokenized together."""

MOST_KW_ARGS = 4096
"""Characters that PARunner takes as `kw_args`."""


class MindiePA:
    """Completes requests with `examples.run_pa.PARunner`: paged attention, continuous batching, greedy."""

    name = "mindie_pa"
    capabilities = frozenset(
        {
            Capability.GENERATE,
            Capability.CHOICE_LOGPROBS,
            Capability.TOKEN_TIMES,
            Capability.IGNORE_EOS,
            Capability.PREFILL_LIMITS,
            Capability.QUANTIZED_WEIGHTS,
            Capability.LORA,
        }
    )
    needs_weights = True

    def __init__(self) -> None:
        self._runner: LedRunner | None = None
        self._answers: PagedAnswers | None = None
        self._encoder: Encoder | None = None
        self._files: RunnerFiles | None = None
        self._tokenizer: Any = None
        self._timed_sizes = TimedSizes({})

    def obstacle(self, spec: RunSpec | None = None) -> str | None:
        """Return why MindIE is not used here."""
        return why_no_mindie(spec, "run_pa")

    def check(self, spec: RunSpec, model: ModelInfo) -> None:
        """Refuse what PARunner cannot run, or would refuse after minutes of loading."""
        check_mindie(spec, model, "run_pa")
        if spec.kw_args is not None and len(spec.kw_args) > MOST_KW_ARGS:
            raise SpecError(
                f"kw_args has {len(spec.kw_args)} characters, PARunner takes {MOST_KW_ARGS}: shorten it"
            )
        check_degrees(spec)
        check_pipeline(spec)
        check_lora(spec, model)

    def environment(self, spec: RunSpec, model: ModelInfo) -> Mapping[str, str]:
        """Return what MindIE reads when it is imported."""
        return environment(spec, model)

    def file_environment(self, spec: RunSpec, directory: Path) -> Mapping[str, str]:
        """Return what makes MindIE write into `directory`."""
        return file_environment(spec, directory)

    def load(self, spec: RunSpec, model: ModelInfo) -> EngineInfo:
        """Load the model in a runner of the size that will be asked for first."""
        from engines.mindie_files import RunnerFiles
        from engines.mindie_library import errors_as_ours
        from engines.mindie_sizes import RunnerSize, first_size
        from engines.mindie_team import LedRunner, Team

        begin = time.perf_counter()
        self._files = RunnerFiles.of(os.environ)
        self._runner = LedRunner(_runner_for(spec, model, self._files), Team.of_this_process())
        if spec.cases:
            with errors_as_ours("asking the device for its free memory"):
                self._timed_sizes = TimedSizes.of(spec, _free_memory(spec, model))
            fewest, _ = rows_asked(spec, 0)
            first = RunnerSize(spec.cases[0].input_tokens, spec.cases[0].output_tokens, fewest)
            self._runner.make(self._timed_sizes.size_for(first, None), fewest)
        else:
            self._runner.make(first_size(spec, model))
        with errors_as_ours("reading what PARunner has loaded"):
            return self._read_loaded(spec, model, self._files, self._runner, begin)

    def _read_loaded(
        self, spec: RunSpec, model: ModelInfo, files: RunnerFiles, runner: LedRunner, begin: float
    ) -> EngineInfo:
        from engines.encoding import Encoder
        from engines.mindie_answers import PagedAnswers
        from engines.mindie_library import checked_dtype, plain_ids

        raw = runner.raw
        dtype = checked_dtype(raw, spec)
        if spec.device == "npu" and runner.device != "npu":
            raise PrerequisiteError(f"device npu is demanded, PARunner runs on {raw.device}")
        context = spec.max_position_embeddings or model.max_position_embeddings
        self._tokenizer = raw.tokenizer or _own_tokenizer(spec, model)
        self._answers = PagedAnswers(runner, files, self._tokenizer, self._timed_sizes)
        self._encoder = Encoder(self._tokenizer, context, raw.model.config.vocab_size)
        ends = plain_ids(raw.model.postprocessor.eos_token_id)
        return EngineInfo(
            engine=self.name,
            device=device_name(runner.device, spec),
            dtype=dtype,
            vocabulary_size=raw.model.config.vocab_size,
            special_token_ids=tuple(sorted({*self._tokenizer.all_special_ids, *ends})),
            context_tokens=context,
            versions=versions(runner.device, VERSIONED_PACKAGES),
            load_s=time.perf_counter() - begin,
            ranks=_rank_use(spec, runner.device),
            notes=run_notes(spec),
        )

    def complete(self, requests: Iterable[Request], *, batch_size: int) -> Iterator[Sequence[Completion]]:
        """Yield completions as they are computed; see `modeltest.api.Engine.complete`."""
        from engines.encoding import by_kind, encode_window

        if self._encoder is None:
            raise EngineError("engine mindie_pa is asked before it has loaded a model")
        remaining = iter(requests)
        while window := list(islice(remaining, WINDOW_REQUESTS)):
            encoded, failed = encode_window(self._encoder, window)
            for begin in range(0, len(failed), batch_size):
                yield failed[begin : begin + batch_size]
            for same_kind in by_kind(encoded):
                yield from self._answer(same_kind, batch_size)

    def follow(self, spec: RunSpec, model: ModelInfo) -> None:
        """Make the calls of rank 0 on this rank's part of the model until it ends."""
        from engines.mindie_files import RunnerFiles
        from engines.mindie_team import Team

        Team.of_this_process().follow(_runner_for(spec, model, RunnerFiles.of(os.environ)))

    def peak_memory_bytes(self) -> int | None:
        """Return the peak memory of this rank's device since the last call."""
        return None if self._runner is None else peak_memory_bytes(self._runner.device)

    def usage(self) -> EngineUsage:
        """Return what was computed so far; the seconds are PARunner's own, from call to texts."""
        if self._answers is None:
            return EngineUsage()
        work = self._answers.work
        return EngineUsage(
            forward_s=work.seconds,
            forward_calls=work.calls,
            computed_tokens=work.tokens,
            reused_tokens=0,
            padding_tokens=0,
            split_batches=work.split_batches,
            model_loads=None if self._runner is None else self._runner.loads,
        )

    def tokenizer(self) -> Tokenizer:
        """Return the tokenizer that MindIE chose for the checkpoint."""
        from engines.tokenizing import CheckpointTokenizer

        if self._tokenizer is None:
            raise EngineError("engine mindie_pa is asked for its tokenizer before it has loaded a model")
        return CheckpointTokenizer(self._tokenizer)

    def traced(self, work: Callable[[], None], folder: Path, name: str) -> Path:
        """Record what this rank computes in `work`; see `modeltest.api.Traceable`.

        Not by MindIE's own switch, which records every call from its import on.
        """
        from engines.profiling import traced

        if self._runner is None:
            raise EngineError("engine mindie_pa is asked for a trace before it has loaded a model")
        return traced(self._runner.device, work, folder, name)

    def close(self) -> None:
        """Shut the runner down and remove what it has written."""
        runner, files = self._runner, self._files
        self._runner = self._answers = self._encoder = self._files = None
        if runner is not None:
            runner.end()
        if files is not None:
            files.clear()

    def _answer(self, same_kind: Sequence[Encoded], batch_size: int) -> Iterator[list[Completion]]:
        from engines.mindie_sizes import RunnerSize

        assert self._answers is not None
        request = same_kind[0].request
        if same_kind[0].choice_ids:
            yield from self._answers.choose(same_kind, batch_size)
        elif request.ignore_eos:
            for begin in range(0, len(same_kind), batch_size):
                batch = same_kind[begin : begin + batch_size]
                longest = max(len(encoded.prompt_ids) for encoded in batch)
                size = RunnerSize(longest, request.max_new_tokens, len(batch))
                yield self._answers.run_timed(batch, size)
        else:
            yield from self._answers.generate(same_kind, batch_size)


def _runner_for(spec: RunSpec, model: ModelInfo, files: RunnerFiles) -> PagedRunner:
    """Return a runner yet to be made, the same on every rank.

    Without its tokenizer PARunner gives token ids; with it, text, and the ids are read from its files.
    """
    from engines.mindie_runner import PagedRunner

    return PagedRunner(spec, model, with_tokenizer="ids" in files.records)


def _free_memory(spec: RunSpec, model: ModelInfo) -> KeyValueMemory | None:
    """Return what a device has left for keys and values beside the weights, before anything is loaded."""
    import torch

    npu: Any = getattr(torch, "npu", None)
    if MindieOptions.parse(spec).stand_in or npu is None or not npu.is_available():
        return None
    folder = Path(model.path)
    return KeyValueMemory.of(
        json.loads((folder / "config.json").read_text(encoding="utf-8-sig")),
        free_bytes=npu.mem_get_info()[0],
        weights_bytes=sum(path.stat().st_size for path in folder.rglob("*.safetensors")),
        split=spec.world_size // max(spec.parallel.dp, 1),
    )


def _rank_use(spec: RunSpec, device: str) -> RankUse | None:
    """Return how MindIE shares the work: what dp leaves of the ranks splits each replica of the model."""
    if spec.world_size == 1:
        return None
    replicas = max(spec.parallel.dp, 1)
    nodes = 1 if spec.cluster is None else spec.cluster.nodes
    each = spec.world_size // nodes
    names = [f"node {rank // each} {device}" if nodes > 1 else device for rank in range(spec.world_size)]
    return RankUse(
        world_size=spec.world_size,
        split=spec.world_size // replicas,
        replicas=replicas,
        backend="hccl" if device == "npu" else "gloo",
        devices=tuple(
            name if device == "cpu" else f"{name}:{rank % each}" for rank, name in enumerate(names)
        ),
    )


def _own_tokenizer(spec: RunSpec, model: ModelInfo) -> Any:
    """Return the tokenizer of the checkpoint, for a runner that was made without one."""
    import transformers

    from engines.tokenizer_loading import load_tokenizer

    return load_tokenizer(transformers, model, trust_remote_code=spec.trust_remote_code)
