"""Loading a checkpoint with vLLM: sizes, settings, tokenizer, and trials of what will be relied upon."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from engines.common.code_choice import decide
from engines.common.device import is_out_of_memory, seed_everything
from engines.common.encoding import Encoder
from engines.common.endings import eos_token_ids
from engines.common.memory import free_bytes
from engines.common.model_work import cache_token_bytes
from engines.common.probe_text import probe_ids
from engines.common.text_config import text_config
from engines.common.text_tokens import TextTokens
from engines.common.tokenizer_loading import end_of_turn_ids, load_tokenizer
from engines.vllm import names
from engines.vllm.arguments import Place, arguments
from engines.vllm.asks import Ask
from engines.vllm.generating import Checkpoint
from engines.vllm.installed import demanded_device
from engines.vllm.lora import adapters_of
from engines.vllm.memory import USABLE_SHARE, cache_memory, weights_bytes
from engines.vllm.options import Options
from engines.vllm.sizes import Sizes, sizes_of
from engines.vllm.splitting import rank_use, share_of_cache
from engines.vllm.step_loop import StepLoop
from engines.vllm.trial import try_adapters, try_beside, try_cache
from modeltest.api import (
    DevicePeaks,
    EngineError,
    ModelInfo,
    ModelTestError,
    OutOfMemory,
    PrerequisiteError,
    RankUse,
    RunSpec,
    Sampling,
    SpecError,
)

_DEFAULT_DTYPE = "float32"
_NO_ROOM = (
    "no available memory for the cache",
    "kv cache is needed",
    "max seq len",
    "free memory on device",
    "is less than requested memory for kv",
)
"""What vLLM says, in lower case, when weights leave too little for keys and values."""

_CONTEXT_NAMES = ("max_position_embeddings", "n_positions", "max_seq_len", "seq_length")
_STRETCHED = ("yarn", "linear", "dynamic", "deepseek_yarn")
"""Kinds of rotary positions that reach farther than they did in training, by a factor in the config."""

_WARM_UP_TOKENS = 3


@dataclass(slots=True)
class Loaded:
    """vLLM with a model, and what turns requests into rows and back."""

    core: names.Core
    loop: StepLoop
    texts: TextTokens
    encoder: Encoder
    checkpoint: Checkpoint
    config: Any
    """Of the checkpoint, as transformers reads it."""

    sizes: Sizes
    room: names.Room
    options: Options
    device: str
    dtype: str
    context_tokens: int
    vocabulary_size: int
    notes: tuple[str, ...]
    ranks: RankUse | None
    sampling: Sampling | None = None
    peaks: tuple[DevicePeaks | None, tuple[str, ...]] | None = None
    """Of the device, and what is said of them, once they were measured."""

    def serves(self, spec: RunSpec) -> bool:
        """Say whether another run finds everything as it would be loaded for it."""
        return self.sizes.holds(sizes_of(spec, self.context_tokens, self.device, self.options))

    def clear(self, spec: RunSpec) -> None:
        """Drop what earlier rows left, and begin anew what is random."""
        self.loop.forget()
        seed_everything(self.device, spec.seed)
        self.sampling = _sampling(spec)

    def close(self) -> None:
        """Free everything."""
        self.texts.template.close()
        self.core.close()


def load(spec: RunSpec, model: ModelInfo, *, host_bytes: int | None = None) -> Loaded:
    """Load the checkpoint and try what will be relied upon.

    `host_bytes`, on the cpu, is what it may take for weights and cache; `None`: what is free.

    Raises: PrerequisiteError, SpecError, OutOfMemory, EngineError.
    """
    import transformers

    device = _device(spec)
    options = Options.parse(spec.engine_options)
    config = transformers.AutoConfig.from_pretrained(model.path, trust_remote_code=spec.trust_remote_code)
    decide(config)
    context = _context(spec, model, text_config(config))
    dtype = spec.dtype or model.dtype or _DEFAULT_DTYPE
    sizes = sizes_of(spec, context, device, options)
    bare = Place(
        device, context, host_bytes=host_bytes, adapters=adapters_of(spec, model), ranks=spec.world_size
    )
    place = _placed(bare, sizes, options, config=text_config(config), model=model, dtype=dtype)
    core = _core(arguments(spec, model, sizes=sizes, options=options, place=place, dtype=dtype), place)
    try:
        return _loaded(core, spec, model, config, sizes=sizes, place=place)
    except BaseException as problem:
        core.close()
        if isinstance(problem, RuntimeError) and not is_out_of_memory(problem):
            reason = " ".join(str(problem).split())
            raise EngineError(f"vLLM has loaded {model.path} and cannot run it: {reason:.600}") from problem
        raise


def _loaded(
    core: names.Core, spec: RunSpec, model: ModelInfo, config: Any, *, sizes: Sizes, place: Place
) -> Loaded:
    import transformers

    dtype = _dtype(core)
    if spec.dtype is not None and dtype != spec.dtype:
        raise EngineError(f"vLLM computes in {dtype}, asked was {spec.dtype}")
    vocabulary = int(core.config.model_config.get_vocab_size())
    tokenizer = load_tokenizer(transformers, model, trust_remote_code=spec.trust_remote_code)
    texts = TextTokens(tokenizer, embeddings=vocabulary)
    ends = eos_token_ids(_generation_config(transformers, model, config), tokenizer, config)
    loop = StepLoop(core)
    # With adapters vLLM takes scored rows for sampled ones: it fails, or answers with another adapter.
    loop.scores_rows = not place.adapters.folders
    ids = probe_ids(tokenizer, vocabulary)
    notes = _try(loop, core, ids, dtype) + _try_adapters(loop, core, ids, place)
    loop.start_counting()
    return Loaded(
        core=core,
        loop=loop,
        texts=texts,
        encoder=Encoder(texts, place.context_tokens, vocabulary),
        checkpoint=Checkpoint(tokenizer, ends | end_of_turn_ids(tokenizer, spec, model)),
        config=config,
        sizes=sizes,
        room=core.room(),
        options=Options.parse(spec.engine_options),
        device=place.device,
        dtype=dtype,
        context_tokens=place.context_tokens,
        vocabulary_size=vocabulary,
        notes=notes,
        ranks=rank_use(spec, place.device),
        sampling=_sampling(spec),
    )


def _try_adapters(loop: StepLoop, core: names.Core, ids: tuple[int, ...], place: Place) -> tuple[str, ...]:
    block_tokens = int(core.config.cache_config.block_size)
    return try_adapters(
        loop, tuple(place.adapters.folders), ids, block_tokens=block_tokens, dtype=_dtype(core)
    )


def _try(loop: StepLoop, core: names.Core, ids: tuple[int, ...], dtype: str) -> tuple[str, ...]:
    """Try the prefix cache, or warm up where there is none: what compiles at its first call does so now."""
    cache = core.config.cache_config
    if cache.enable_prefix_caching:
        found = try_cache(loop, ids, block_tokens=int(cache.block_size), dtype=dtype)
        loop.reuses = found.is_right
        notes = found.notes
    else:
        try_beside(loop, ids, dtype=dtype)
        loop.reuses = False
        notes = ("prefix cache off",)
    ask = Ask(ids[:16], _WARM_UP_TOKENS, may_reuse=False)
    for rows in (1, 2):
        for _ in loop.together([ask] * rows, rows):
            pass
    return notes


def _device(spec: RunSpec) -> str:
    try:
        device = names.device_type()
    except ImportError as problem:
        raise PrerequisiteError(f"vLLM cannot be imported: {problem}") from problem
    demanded = demanded_device(spec)
    if demanded not in (None, device):
        raise PrerequisiteError(f"device {demanded} is demanded, vLLM runs on {device or 'none'} here")
    return device


def _dtype(core: names.Core) -> str:
    return str(core.config.model_config.dtype).removeprefix("torch.")


def _core(given: dict[str, Any], place: Place) -> names.Core:
    try:
        return names.Core(given, place.adapters)
    except ModelTestError:
        raise
    except Exception as problem:
        text = " ".join(str(problem).split())
        has_no_room = any(sign in text.lower() for sign in _NO_ROOM)
        is_memory = has_no_room or is_out_of_memory(problem)
        said = f"vLLM cannot load {given['model']}: {type(problem).__name__}: {text:.600}"
        where = "(more is in the run's log.txt)"
        if is_memory:
            raise OutOfMemory(f"out of memory: {said} {where}") from problem
        raise EngineError(f"{said} {where}") from problem


def _placed(
    place: Place, sizes: Sizes, options: Options, *, config: Any, model: ModelInfo, dtype: str
) -> Place:
    """Return `place` with the memory that is there."""
    import torch

    if place.device != "cpu":
        left, total = getattr(torch, place.device).mem_get_info()
        return replace(place, free_share=left / total)
    item_bytes = getattr(torch, dtype).itemsize
    stored = getattr(torch, model.dtype).itemsize if model.dtype else item_bytes
    free = free_bytes(place.device) if place.host_bytes is None else place.host_bytes
    if free is None:
        raise PrerequisiteError("vLLM on the cpu needs a system that tells how much memory is free")
    memory = cache_memory(
        sizes,
        place.context_tokens,
        token_bytes=cache_token_bytes(config, item_bytes) // share_of_cache(config, place.ranks),
        free_bytes=(free - weights_bytes(model.path) * item_bytes // stored) // place.ranks,
        share=options.memory_share or USABLE_SHARE,
    )
    return replace(place, context_tokens=memory.context_tokens, cache_bytes=memory.bytes)


def _context(spec: RunSpec, model: ModelInfo, config: Any) -> int:
    """Return the longest context: what was asked for, else the checkpoint's.

    Raises: SpecError for a longer one than the model has positions for: vLLM would read beyond their table.
    """
    own = next(
        (value for name in _CONTEXT_NAMES if isinstance(value := getattr(config, name, None), int)), None
    )
    reach = None if own is None else _reach(own, config)
    asked = spec.max_position_embeddings
    if asked is not None and reach is not None and asked > reach:
        raise SpecError(
            f"max_position_embeddings {asked} is more than the {reach} positions that vLLM has for this "
            f"model; leave the word out or give at most {reach}"
        )
    known = [size for size in (asked or model.max_position_embeddings or own, reach) if size is not None]
    if not known:
        raise SpecError(f"{model.path} does not say how long its context is; give max_position_embeddings")
    return min(known)


def _reach(own: int, config: Any) -> int:
    rope = getattr(config, "rope_parameters", None) or getattr(config, "rope_scaling", None)
    if not isinstance(rope, dict) or rope.get("rope_type", rope.get("type")) not in _STRETCHED:
        return own
    return max(own, int(float(rope.get("factor", 1)) * rope.get("original_max_position_embeddings", own)))


def _generation_config(transformers: Any, model: ModelInfo, config: Any) -> Any:
    """Return what names the tokens that end a text: the checkpoint's file, or one made of its config."""
    try:
        return transformers.GenerationConfig.from_pretrained(model.path)
    except OSError:
        return transformers.GenerationConfig.from_model_config(config)


def _sampling(spec: RunSpec) -> Sampling | None:
    generation = spec.options.generation
    return generation.sampling if generation is not None else None
