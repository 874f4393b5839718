"""The `mindie_pa` engine: drives the `PARunner` of an installed MindIE on Ascend. See docs/ascend.md."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engines.common.device import peak_memory_bytes
from engines.common.rows_asked import rows_asked
from engines.mindie.degrees import check_degrees, check_pipeline
from engines.mindie.engine import MindieEngine
from engines.mindie.environment import MindieOptions, check_mindie
from engines.mindie.lora import check_lora
from engines.mindie.timed_sizes import KeyValueMemory, TimedSizes
from modeltest.api import (
    Capability,
    Completion,
    EngineError,
    EngineInfo,
    EngineUsage,
    ModelInfo,
    RankUse,
    RunSpec,
    SpecError,
)
from modeltest.plain.json_text import parse_published_json

if TYPE_CHECKING:
    from engines.common.encoding import Encoded
    from engines.mindie.answers import PagedAnswers
    from engines.mindie.files import RunnerFiles
    from engines.mindie.runner import PagedRunner
    from engines.mindie.team import LedRunner


MOST_KW_ARGS = 4096
"""Characters that PARunner takes as `kw_args`."""


class MindiePA(MindieEngine):
    """Completes requests with `examples.run_pa.PARunner`: paged attention, continuous batching, greedy."""

    name = "mindie_pa"
    module = "run_pa"
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

    def __init__(self) -> None:
        super().__init__()
        self._runner: LedRunner | None = None
        self._answers: PagedAnswers | None = None
        self._files: RunnerFiles | None = None
        self._timed_sizes = TimedSizes({})

    def check(self, spec: RunSpec, model: ModelInfo) -> None:
        """Refuse what PARunner cannot run, or would refuse after minutes of loading."""
        check_mindie(spec, model, self.module)
        if spec.kw_args is not None and len(spec.kw_args) > MOST_KW_ARGS:
            raise SpecError(
                f"kw_args has {len(spec.kw_args)} characters, PARunner takes {MOST_KW_ARGS}: shorten it"
            )
        check_degrees(spec)
        check_pipeline(spec)
        check_lora(spec, model)

    def load(self, spec: RunSpec, model: ModelInfo) -> EngineInfo:
        """Load the model in a runner of the size that will be asked for first."""
        from engines.mindie.answers import PagedAnswers
        from engines.mindie.files import RunnerFiles
        from engines.mindie.library import errors_as_ours
        from engines.mindie.sizes import RunnerSize, first_size
        from engines.mindie.team import LedRunner, Team

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
            ranks = _rank_use(spec, self._runner.device)
            info = self._loaded(self._runner.raw, spec, model, begin, ranks=ranks)
            self._answers = PagedAnswers(self._runner, self._files, self._tokenizer, self._timed_sizes)
        return info

    def follow(self, spec: RunSpec, model: ModelInfo) -> None:
        """Make the calls of rank 0 on this rank's part of the model until it ends."""
        from engines.mindie.files import RunnerFiles
        from engines.mindie.team import Team

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

    def traced(self, work: Callable[[], None], folder: Path, name: str) -> Path:
        """Record what this rank computes in `work`; see `modeltest.api.Traceable`.

        Not by MindIE's own switch, which records every call from its import on.
        """
        from engines.common.profiling import traced

        if self._runner is None:
            raise EngineError("engine mindie_pa is asked for a trace before it has loaded a model")
        return traced(self._runner.device, work, folder, name)

    def close(self) -> None:
        """Shut the runner down and remove what it has written."""
        runner, files = self._runner, self._files
        self._runner = self._answers = self._files = None
        self._forget_texts()
        if runner is not None:
            runner.end()
        if files is not None:
            files.clear()

    def _answer(self, same_kind: Sequence[Encoded], batch_size: int) -> Iterator[list[Completion]]:
        from engines.mindie.sizes import RunnerSize

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
    from engines.mindie.runner import PagedRunner

    return PagedRunner(spec, model, with_tokenizer="ids" in files.records)


def _free_memory(spec: RunSpec, model: ModelInfo) -> KeyValueMemory | None:
    """Return what a device has left for keys and values beside the weights, before anything is loaded."""
    import torch

    npu: Any = getattr(torch, "npu", None)
    if MindieOptions.parse(spec).stand_in or npu is None or not npu.is_available():
        return None
    folder = Path(model.path)
    return KeyValueMemory.of(
        parse_published_json((folder / "config.json").read_text(encoding="utf-8-sig")),
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
