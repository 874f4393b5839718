"""The keywords of `evaluate` for type checkers and editors: one for each option of a command.

Meaning, default and bounds are those of the option, which a test holds; `None` is as good as left out. Times
are in seconds.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Literal, TypedDict

Path = str | os.PathLike[str]
Texts = str | Sequence[str]
Numbers = int | Sequence[int]
Pair = tuple[int, int] | str
Pairs = Pair | Sequence[Pair]


class LimitKeywords(TypedDict, total=False):
    """When a worker is hung."""

    batch_timeout: float | None
    load_timeout: float | None
    heartbeat_timeout: float | None
    node_timeout: float | None


class _OfEveryRun(LimitKeywords, total=False):
    engine: str | None
    dtype: Literal["fp32", "bf16", "fp16"] | None
    profile: str | None
    trust_remote_code: bool | None
    max_position_embeddings: int | None
    world_size: int | None
    parallel: str | None
    rank_table: Path | None
    node_rank: int | None
    lora: Path | None
    kw_args: str | None
    known_as: str | None
    limit: int | None
    output: Path | None
    device: Literal["npu", "cuda", "cpu"] | None
    engine_python: Path | None
    allow_dtype_cast: bool | None
    engine_option: Texts | None
    served_model: str | None
    tokenizer: Path | None
    ca_bundle: Path | None


class _OfOwnTasks(_OfEveryRun, total=False):
    subject: Texts | None
    data_dir: Path | None
    protocol: Literal["modeltest", "lm-eval", "lm-eval-flexible"] | None
    seed: int | None
    quick: bool | None
    min_trials: int | None
    case_budget_s: float | None


class _AccuracyRequired(TypedDict):
    model: Path


class AccuracyKeywords(_AccuracyRequired, _OfOwnTasks, total=False):
    """Those of `modeltest accuracy`, which takes a `task` or a `task_file`."""

    task: str | None
    task_file: Path | None
    shots: int | None
    split: Literal["full", "sample"] | None
    batch_size: int | None
    chat: bool | None


class _CasesRequired(TypedDict):
    case: Pairs
    model: Path


class PerformanceKeywords(_CasesRequired, _OfOwnTasks, total=False):
    """Those of `modeltest performance`."""

    batch_size: Numbers | None
    dataset: Literal["boolq", "gsm8k", "humaneval", "ceval", "customize"] | None
    padding: bool | None
    batches: int | str | None
    prompts: Path | None
    prefill_batch_size: int | None
    prefill_length: int | None
    chat: bool | None


class PrecisionKeywords(_CasesRequired, _OfOwnTasks, total=False):
    """Those of `modeltest precision`."""

    batch_size: Numbers | None
    prompts: Path | None
    logprobs: bool | None
    logits: bool | None
    chat: bool | None


class _MaxbsRequired(_CasesRequired):
    limit_ms: float


class MaxbsKeywords(_MaxbsRequired, _OfOwnTasks, total=False):
    """Those of `modeltest maxbs`."""

    range: Pairs | None


class _LmEvalRequired(TypedDict):
    tasks: str
    model: Path


class LmEvalKeywords(_LmEvalRequired, _OfEveryRun, total=False):
    """Those of `modeltest lm-eval`."""

    num_fewshot: int | None
    batch_size: int | None
    include_path: Path | None
    apply_chat_template: bool | None
    fewshot_as_multiturn: bool | None
    system_instruction: str | None
    gen_kwargs: str | None
    log_samples: bool | None
    confirm_run_unsafe_code: bool | None


class _GenerateRequired(TypedDict):
    model: Path


class GenerateKeywords(_GenerateRequired, _OfEveryRun, total=False):
    """Those of `modeltest generate`."""

    input_text: Texts | None
    input_file: Path | None
    is_chat_model: bool | None
    max_input_length: int | None
    max_output_length: int | None
    max_batch_size: int | None
    batch_size: int | None
    stop: Texts | None
    do_sample: bool | None
    temperature: float | None
    top_k: int | None
    top_p: float | None
    min_tokens_to_keep: int | None
    random_seed: int | None


class _AcceptRequired(TypedDict):
    pack: Path
    model: Path


class AcceptKeywords(_AcceptRequired, _OfEveryRun, total=False):
    """Those of `modeltest accept`."""

    max_drop: float | str | None
    answers_alone: bool | None
    undecided: Literal["fail", "pass"] | None
    seed: int | None
    batch_size: int | None


class _LocateRequired(TypedDict):
    reference: Path
    model: Path


class LocateKeywords(_LocateRequired, _OfEveryRun, total=False):
    """Those of `modeltest locate`."""

    input_text: Texts | None
    max_input_length: int | None
    served_from: str | None
