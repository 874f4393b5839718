"""What a checkpoint is, read from its files alone: nothing is loaded, and no torch is imported."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modeltest.api import ModelInfo, RunSpec, SpecError
from modeltest.models.config_json import JsonFile, read_json_object
from modeltest.models.files import digests_of, fingerprint_of, last_written
from modeltest.models.identity import identity_of
from modeltest.models.layers import layers_asked
from modeltest.models.leftovers import check_against_config
from modeltest.models.profiles import (
    AUTO,
    ModelProfile,
    block_size,
    environment,
    is_native_model_type,
    keys_for_model_type,
    profile,
    profile_for_model_type,
    resolve_name,
    tokenizer_options,
)
from modeltest.models.quantisation import quantisation, weight_folders
from modeltest.models.rules import count_in
from modeltest.models.weights import WeightFile, earlier_fingerprint, read_by_loaders, read_weight_files

CONTEXT_FIELDS = (
    "max_position_embeddings",
    "n_positions",
    "max_sequence_length",
    "seq_length",
    "n_ctx",
    "model_max_length",
    "max_seq_len",
)
"""What model families call the length of their context, best first."""

DTYPE_ENTRIES = (("dtype",), ("torch_dtype",), ("text_config", "dtype"), ("text_config", "torch_dtype"))
"""Where config.json may name the dtype: transformers writes `dtype` since 4.56, `torch_dtype` before."""

DTYPE_ALIASES = {
    "half": "float16",
    "fp16": "float16",
    "bf16": "bfloat16",
    "float": "float32",
    "fp32": "float32",
}


@dataclass(frozen=True, slots=True)
class NamedDtype:
    """The dtype a config names, and under which keys."""

    keys: tuple[str, ...]
    written: str
    dtype: str


def inspect_checkpoint(spec: RunSpec) -> ModelInfo:
    """Return what the files in `spec.weights` say, having checked that `spec` fits them.

    Raises: SpecError when the words and the checkpoint do not fit; EngineError when a weight file is
    missing, truncated or unreadable.
    """
    directory = _weights_directory(spec.weights)
    config = read_json_object(directory / "config.json")
    model_type = _model_type(config)
    chosen = _profile_for(spec, config, model_type)
    _check_remote_code(spec, config, model_type)
    dtype = _dtype(config.values)
    _check_dtype(spec, config, dtype)
    layers_asked(config)  # what no model can have is refused before any weights are looked at
    quantize = quantisation(config)
    folders = weight_folders(directory, quantize, spec.world_size or chosen.chips)
    files = [file for folder in folders for file in read_weight_files(folder)]
    taken = [file for folder in folders for file in read_by_loaders(folder, _of(files, folder))]
    harmless = check_against_config(config, taken)
    digests = digests_of(directory, files, trusts_code=spec.trust_remote_code, lora=spec.lora)
    whole = fingerprint_of(digests)
    return ModelInfo(
        key=chosen.key,
        name=resolve_name(chosen, config.values),
        path=str(directory),
        model_type=model_type,
        dtype=None if dtype is None else dtype.dtype,
        quantize=quantize,
        max_position_embeddings=spec.max_position_embeddings or context_of(config.values),
        block_size=block_size(chosen, config.values),
        chips=chosen.chips,
        fingerprint=whole,
        tokenizer_options=tokenizer_options(chosen, config.values),
        environment=environment(chosen),
        end_of_turn=chosen.end_of_turn,
        harmless_weights=harmless,
        files=digests,
        written=last_written(directory, files, lora=spec.lora),
        identity=identity_of(directory, whole, spec.known_as),
    )


def fingerprint_before(spec: RunSpec) -> str:
    """Return the fingerprint of `spec.weights` as runs have it that record no digests by file.

    Raises: what `inspect_checkpoint` does.
    """
    directory = _weights_directory(spec.weights)
    config = read_json_object(directory / "config.json")
    chips = spec.world_size or _profile_for(spec, config, _model_type(config)).chips
    folders = weight_folders(directory, quantisation(config), chips)
    return earlier_fingerprint(config.raw, [file for folder in folders for file in read_weight_files(folder)])


def dtype_in(config: Mapping[str, Any]) -> str | None:
    """Return the dtype a config names, as torch calls it."""
    named = _dtype(config)
    return None if named is None else named.dtype


def context_of(config: Mapping[str, Any]) -> int | None:
    """Return the length of the context a config names, in tokens."""
    return count_in(config, CONTEXT_FIELDS)


def describe(profile: ModelProfile) -> dict[str, str]:
    """Return one row of `modeltest list models`, by column heading."""
    return {
        "model": profile.key,
        "model_type": " ".join(profile.model_types),
        "chips": str(profile.chips),
        "datasets": " ".join(profile.datasets),
        "block size": "/".join(
            [str(profile.block_size), *(str(rule.tokens) for rule in profile.block_sizes)]
        ),
        "in MindIE": "yes" if profile.in_mindie_head else "no",
        "note": profile.note or "",
    }


def _of(files: Iterable[WeightFile], folder: Path) -> list[WeightFile]:
    return [file for file in files if file.path.parent == folder]


def _weights_directory(weights: str) -> Path:
    directory = Path(weights).absolute()
    try:
        if not weights or not directory.exists():
            raise SpecError(f"weights {weights!r} do not exist; give the folder of a checkpoint")
        if not directory.is_dir():
            raise SpecError(f"weights {weights!r} are not a folder; give the one that holds config.json")
        if not (directory / "config.json").exists():
            raise SpecError(f"weights {weights!r} hold no config.json; give the folder of a checkpoint")
    except OSError as problem:
        raise SpecError(f"weights {weights!r} cannot be read: {problem.strerror or problem}") from None
    return directory


def _model_type(config: JsonFile) -> str:
    model_type = config.values.get("model_type")
    if not isinstance(model_type, str) or not model_type:
        raise SpecError(f"{config.path} names no model_type; add the one of the model's family")
    return model_type


def _profile_for(spec: RunSpec, config: JsonFile, model_type: str) -> ModelProfile:
    if spec.model == AUTO:
        return profile_for_model_type(model_type)
    chosen = profile(spec.model)
    if model_type in chosen.model_types:
        return chosen
    instead = [*keys_for_model_type(model_type), AUTO]
    hint = f" ({chosen.note})" if chosen.note else ""
    raise SpecError(
        f"{config.place('model_type')}: model_type {model_type!r} does not fit model {spec.model!r}, which "
        f"takes {', '.join(chosen.model_types)}; models that take it: {', '.join(instead)}{hint}"
    )


def _check_remote_code(spec: RunSpec, config: JsonFile, model_type: str) -> None:
    code = config.values.get("auto_map")
    if spec.trust_remote_code or is_native_model_type(model_type):
        return
    if isinstance(code, Mapping) and "AutoModelForCausalLM" in code:
        raise SpecError(
            f"{config.place('auto_map')}: this checkpoint brings its own Python code; read it, then add the "
            "word trust_remote_code after the weights (or --trust-remote-code)"
        )


def _dtype(config: Mapping[str, Any]) -> NamedDtype | None:
    for keys in DTYPE_ENTRIES:
        value: Any = config
        for key in keys:
            value = value.get(key) if isinstance(value, Mapping) else None
        if isinstance(value, str) and value and value != "auto":
            return NamedDtype(keys, value, _plain_dtype(value))
    return None


def _plain_dtype(name: str) -> str:
    plain = name.removeprefix("torch.").lower()
    return DTYPE_ALIASES.get(plain, plain)


def _check_dtype(spec: RunSpec, config: JsonFile, named: NamedDtype | None) -> None:
    if named is None or spec.dtype is None or spec.allow_dtype_cast:
        return
    wanted = _plain_dtype(spec.dtype)
    if named.dtype != wanted:
        raise SpecError(
            f"{config.place(*named.keys)}: {named.keys[-1]} is {json.dumps(named.written)} but "
            f'\'{spec.engine}\' runs {wanted}; change this line to "{named.keys[-1]}": "{wanted}", '
            f"use an engine word for {named.dtype!r}, or add --allow-dtype-cast"
        )
