"""Checks of a checkpoint against chips and engine: pure functions of what its files say."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass

from modeltest.api import MINDIE_KINDS, ModelTestError, SpecError
from modeltest.doctor.finding import Finding, State
from modeltest.doctor.npu_smi import has_bfloat16, is_300i_duo
from modeltest.models.quantisation import SPARSE_KINDS
from modeltest.models.weights import WeightFile

ATB_DTYPES = ("float16", "bfloat16")
WORDS = {"float16": "pa_fp16", "bfloat16": "pa_bf16"}
ASK_THE_CHIP = "python -c 'import torch, torch_npu; print(torch.npu.is_bf16_supported())'"
NOT_NAMED = "no checkpoint was named"
NAME_ONE = "modeltest doctor --ascend --model DIR"


@dataclass(frozen=True, slots=True)
class Need:
    """The context a run needs, in tokens, and where the numbers are from."""

    input_tokens: int
    output_tokens: int
    source: str

    @property
    def tokens(self) -> int:
        """Prompt and answer together."""
        return self.input_tokens + self.output_tokens


def not_named(name: str) -> Finding:
    """Return what a check of a checkpoint finds when none was named."""
    return Finding(name, State.SKIPPED, NOT_NAMED, NAME_ONE)


def check_weights(directory: str, found: Sequence[WeightFile] | ModelTestError) -> Finding:
    """Judge the weight files of `directory`, or the error that reading them gave."""
    name = "weights"
    if not isinstance(found, ModelTestError):
        size_gb = sum(file.size_bytes for file in found) / 1e9
        count = f"{len(found)} safetensors file{'s' if len(found) > 1 else ''}"
        return Finding(name, State.OK, f"{count}, {size_gb:.2f} GB, whole")
    said, separator, command = str(found).partition("; convert them with: ")
    if separator:
        return Finding(name, State.WRONG, said, command)
    state = State.ABSENT if isinstance(found, SpecError) else State.WRONG
    return Finding(name, state, said, f"copy the checkpoint into {directory} again")


def check_torch_dtype(
    config_path: str, *, torch_dtype: str | None, dtype: str | None, wanted: str | None
) -> Finding:
    """Judge what config.json names under `torch_dtype` and `dtype`; the engine word means `wanted`."""
    name = "torch_dtype"
    named = torch_dtype or dtype
    plain = named.removeprefix("torch.") if named else None
    target = wanted if wanted in ATB_DTYPES else "float16"
    if plain is None:
        return Finding(
            name,
            State.WRONG,
            "config.json names none; atb_llm needs it",
            _sed(config_path, '0,/{/s/{/{"torch_dtype": "' + target + '",/'),
        )
    if torch_dtype is None:
        return Finding(
            name,
            State.WRONG,
            f"config.json names {plain} under dtype only; atb_llm reads torch_dtype",
            _sed(config_path, 's/"dtype":/"torch_dtype":/'),
        )
    if plain not in ATB_DTYPES:
        return Finding(
            name,
            State.WRONG,
            f"{plain}; atb_llm runs {' and '.join(ATB_DTYPES)}",
            _name_dtype(config_path, target),
        )
    if dtype is not None and dtype.removeprefix("torch.") != plain:
        return Finding(
            name,
            State.WRONG,
            f"config.json names {plain} under torch_dtype and {dtype} under dtype",
            _name_dtype(config_path, wanted if wanted in ATB_DTYPES else plain),
        )
    if wanted is not None and wanted != plain:
        return Finding(
            name,
            State.WRONG,
            f"{plain}, but the engine word means {wanted}",
            f"use the engine word {WORDS[plain]}",
        )
    return Finding(name, State.OK, plain)


def check_bfloat16(chips: Sequence[str], *, dtype: str | None, config_path: str | None) -> Finding:
    """Judge whether `dtype` can be computed on chips of these names."""
    name = "BF16"
    kinds = sorted(set(chips))
    if not kinds:
        return Finding(name, State.ABSENT, "no chips to compute it", "npu-smi info")
    without = [kind for kind in kinds if has_bfloat16(kind) is False]
    unknown = [kind for kind in kinds if has_bfloat16(kind) is None]
    if without and dtype == "bfloat16":
        mend = "use the engine word pa_fp16"
        if config_path is not None:
            mend += " and " + _name_dtype(config_path, "float16")
        return Finding(name, State.WRONG, f"{without[0]} cannot compute it, and it is asked for", mend)
    if without:
        return Finding(name, State.OK, f"{without[0]} cannot compute it; {dtype or 'float16'} is asked for")
    if unknown:
        state = State.WARNING if dtype == "bfloat16" else State.OK
        return Finding(name, state, f"nobody here knows {unknown[0]}", ASK_THE_CHIP)
    return Finding(name, State.OK, f"{', '.join(kinds)} can")


def check_quantisation(found: str | ModelTestError | None, chips: Sequence[str]) -> Finding:
    """Judge the kind of quantisation, or the error that reading it gave, for chips of these names."""
    name = "quantize"
    if isinstance(found, ModelTestError):
        return Finding(name, State.WRONG, str(found), "change it to the kind the weights were made as")
    if found is None:
        return Finding(name, State.OK, "none: float weights")
    if found not in MINDIE_KINDS:
        return Finding(
            name,
            State.WRONG,
            f"{found}, which MindIE does not run",
            "quantise the float checkpoint with msModelSlim, or take it as it is",
        )
    others = sorted({chip for chip in chips if not is_300i_duo(chip)})
    if found in SPARSE_KINDS and others:
        return Finding(
            name,
            State.WRONG,
            f"{found} is sparse, which only 300I DUO computes; here is {others[0]}",
            "quantise the float checkpoint as w8a8",
        )
    return Finding(name, State.OK, found)


def check_context(context_tokens: int | None, needs: Sequence[Need], *, is_cut: bool) -> Finding:
    """Judge the context of a model against what was asked for.

    `is_cut` says what happens to a prompt that is too long: it loses shots or its beginning, and is counted;
    otherwise the run is refused.
    """
    name = "context"
    if not needs:
        return Finding(name, State.SKIPPED, "no task was named", f"{NAME_ONE} --task mmlu --shots 5")
    need = max(needs, key=lambda each: each.tokens)
    asked = f"{need.input_tokens} + {need.output_tokens} tokens: {need.source}"
    if context_tokens is None:
        return Finding(
            name, State.WARNING, f"config.json names none; {asked}", f"give {need.tokens} as the last word"
        )
    if need.tokens <= context_tokens:
        return Finding(name, State.OK, f"{context_tokens}, needed are {asked}")
    return Finding(
        name,
        State.WARNING if is_cut else State.WRONG,
        f"{context_tokens}, needed are {asked}",
        f"give {need.tokens} as the last word, if the model's positions allow it",
    )


def _name_dtype(path: str, dtype: str) -> str:
    """Return the command that names `dtype` wherever the config names one: some do under both keys."""
    script = f's/"((torch_)?dtype)": *"[^"]*"/"\\1": "{dtype}"/'
    return shlex.join(["sed", "-i", "-E", script, path])


def _sed(path: str, script: str) -> str:
    return shlex.join(["sed", "-i", script, path])
