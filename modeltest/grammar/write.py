"""A `RunSpec` as the words of `run.sh` that ask for it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields

from modeltest.api import (
    PREDECESSOR_MODES,
    Argument,
    Mode,
    Parallel,
    RunSpec,
    SpecError,
    mode_of_task_file,
)


def to_words(spec: RunSpec, *, modes: Mapping[str, Mode] | None = None) -> list[str]:
    """Return the canonical words of `spec`: `parse` makes an equal spec of them.

    Only what has a word is written: seed, limit and the like are options of the command line. `modes` is
    needed for the modes of plug-ins.

    Raises: SpecError for an unknown mode.
    """
    known = {mode.word: mode for mode in PREDECESSOR_MODES} if modes is None else modes
    if spec.task_file is not None:
        known = {spec.mode: mode_of_task_file(spec.task, spec.task)}
    if spec.mode not in known:
        raise SpecError(f"the mode {spec.mode!r} is unknown, so its words cannot be written")
    arguments = (word for argument in known[spec.mode].arguments for word in _WRITERS[argument](spec))
    return [spec.engine, known[spec.mode].word, *arguments, *_model_words(spec), *_place_words(spec)]


def _model_words(spec: RunSpec) -> list[str]:
    words = [spec.model]
    if spec.chat:
        words.append("chat")
    if spec.lora is not None:
        words.extend(["lora", spec.lora])
    words.append(spec.weights)
    if spec.trust_remote_code:
        words.append("trust_remote_code")
    if spec.kw_args is not None:
        words.append(spec.kw_args)
    return words


def _place_words(spec: RunSpec) -> list[str]:
    words = [str(spec.world_size)]
    if spec.cluster is not None:
        cluster = spec.cluster
        words = [
            cluster.rank_table,
            *words,
            str(cluster.nodes),
            str(cluster.rank_start),
            cluster.master_address,
        ]
    if spec.parallel != Parallel():
        words.append(_flat(getattr(spec.parallel, degree.name) for degree in fields(Parallel)))
    if spec.max_position_embeddings is not None:
        words.append(str(spec.max_position_embeddings))
    return words


def _cases(spec: RunSpec) -> list[str]:
    return [_nested((case.input_tokens, case.output_tokens) for case in spec.cases)]


def _batch(spec: RunSpec) -> list[str]:
    if len(spec.batch_sizes) > 1:
        return [_nested(spec.batch_sizes)]
    sizes = spec.batch_sizes[0]
    return [str(sizes[0]) if len(sizes) == 1 else _flat(sizes)]


def _ranges(spec: RunSpec) -> list[str]:
    return [_nested((each.lowest, each.highest) for each in spec.options.batch_ranges)]


def _limit(spec: RunSpec) -> list[str]:
    return [str(spec.options.latency_limit_ms).removesuffix(".0")]


def _context(spec: RunSpec) -> list[str]:
    return [f"{(spec.options.context_tokens or 0) // 1024}k"]


def _prefill(spec: RunSpec) -> list[str]:
    words = []
    if spec.options.prefill_batch_size is not None:
        words.append(str(spec.options.prefill_batch_size))
    if spec.options.prefill_length is not None:
        words.extend(["prefill_length", str(spec.options.prefill_length)])
    source = spec.options.prompt_source
    if source is not None:
        groups = "INF" if source.batch_group is None else str(source.batch_group)
        words.extend(["dataset", source.dataset, *(["padding"] if source.padding else []), groups])
    return words


_WRITERS: Mapping[Argument, Callable[[RunSpec], list[str]]] = {
    Argument.SHOTS: lambda spec: [str(spec.options.shots)],
    Argument.BATCH: _batch,
    Argument.CASES: _cases,
    Argument.RANGES: _ranges,
    Argument.LIMIT_MS: _limit,
    Argument.CONTEXT: _context,
    Argument.PROMPT: lambda spec: [spec.options.prompt_input or ""],
    Argument.PACK: lambda spec: [spec.options.pack.path if spec.options.pack else ""],
    Argument.PREFILL: _prefill,
}


def _nested(lists: Iterable[Iterable[int]]) -> str:
    return f"[{','.join(_flat(numbers) for numbers in lists)}]"


def _flat(numbers: Iterable[int]) -> str:
    return f"[{','.join(map(str, numbers))}]"
