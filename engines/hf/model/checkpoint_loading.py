"""Loading model and tokenizer with transformers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from engines.common.code_choice import decide, implementations
from engines.common.device import is_out_of_memory, refuse_dtype
from engines.common.endings import eos_token_ids
from engines.common.text_config import text_config
from engines.common.tokenizer_loading import end_of_turn_ids, load_tokenizer
from engines.common.tokenizer_trials import try_vocabulary
from engines.hf.model.leftover_weights import leftover_notes
from engines.hf.model.transformers_versions import dtype_argument
from engines.hf.ranks.tensor_parallel import split_arguments, take_over
from modeltest.api import (
    EngineError,
    ModelInfo,
    ModelTestError,
    OutOfMemory,
    PrerequisiteError,
    RunSpec,
    SpecError,
)
from modeltest.installation import install_command

if TYPE_CHECKING:
    from engines.hf.ranks.group import RankGroup

_DEFAULT_DTYPE = "float32"

_CONTEXT_NAMES = ("max_position_embeddings", "max_seq_len")
"""What configs of transformers call the length of the context; others map their own name to the first."""

_ROTARY_SIGNS = ("rope_parameters", "rope_scaling", "rope_theta")
"""What the config of a model with rotary positions has, one of them in each version of transformers."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """A model in evaluation mode on its device, its tokenizer and the ids that end a text."""

    model: Any
    tokenizer: Any
    eos_token_ids: frozenset[int]
    pad_token_id: int
    dtype: str
    context_tokens: int | None
    implementations: Mapping[str, str]
    """By which of transformers' implementations attention and experts are computed."""

    overruled: tuple[str, ...]
    """What config.json says of how to run the model, which is not its to say."""

    leftover_notes: tuple[str, ...] = ()
    """What to tell of weights that the model did not take."""


def load_checkpoint(spec: RunSpec, info: ModelInfo, device: str, split_by: RankGroup | None = None) -> Loaded:
    """Load the checkpoint of `info` onto `device`; with `split_by`, this rank's part of it.

    Raises: PrerequisiteError without transformers, or for a dtype that the device lacks; SpecError when the
    options do not fit the checkpoint; OutOfMemory; EngineError when the files cannot be loaded.
    """
    transformers = _import_transformers()
    refuse_dtype(device, spec.dtype or info.dtype or _DEFAULT_DTYPE)
    remote = spec.trust_remote_code
    try:
        config = transformers.AutoConfig.from_pretrained(info.path, trust_remote_code=remote)
        overruled = decide(config)
        _stretch_context(transformers, config, spec)
        model, leftovers = _load_model(transformers, spec, info, config, split_by)
        model = model.to(device).eval()
    except ModelTestError:
        raise
    except Exception as problem:
        raise _as_engine_error(problem, info.path) from problem
    tokenizer = load_tokenizer(transformers, info, trust_remote_code=remote)
    try_vocabulary(tokenizer, model.get_input_embeddings().num_embeddings)
    return Loaded(
        model=model,
        tokenizer=tokenizer,
        eos_token_ids=eos_token_ids(getattr(model, "generation_config", None), tokenizer, model.config)
        | end_of_turn_ids(tokenizer, spec, info),
        pad_token_id=_pad_token_id(tokenizer),
        dtype=str(model.dtype).removeprefix("torch."),
        context_tokens=spec.max_position_embeddings or info.max_position_embeddings,
        implementations=implementations(model),
        overruled=overruled,
        leftover_notes=leftovers,
    )


def _import_transformers() -> Any:
    try:
        import torch  # noqa: F401
        import transformers
    except ImportError as problem:
        raise PrerequisiteError(
            f"the hf engine needs torch and transformers ({problem}): {install_command('hf')}"
        ) from None
    transformers.utils.logging.disable_progress_bar()
    return transformers


def _load_model(
    transformers: Any, spec: RunSpec, info: ModelInfo, config: Any, split_by: RankGroup | None
) -> tuple[Any, tuple[str, ...]]:
    """Return the model, and what to say of weights that it did not take."""
    import torch

    name = spec.dtype or info.dtype or _DEFAULT_DTYPE
    model, report = transformers.AutoModelForCausalLM.from_pretrained(
        info.path,
        config=config,
        trust_remote_code=spec.trust_remote_code,
        use_safetensors=True,
        output_loading_info=True,
        **(split_arguments(split_by.size) if split_by else {}),
        **{dtype_argument(transformers): getattr(torch, name)},
    )
    missing = sorted(report["missing_keys"])
    if missing:
        # transformers fills them with random numbers and only warns.
        raise EngineError(
            f"{info.path} lacks {len(missing)} weights of its model, {missing[0]} among them; "
            "download or convert the checkpoint again"
        )
    notes = leftover_notes(model, report["unexpected_keys"], info)
    if split_by is not None:
        assert split_by.model is not None
        take_over(model, split_by.model, rank=split_by.rank, size=split_by.size)
    return model, notes


def _stretch_context(transformers: Any, config: Any, spec: RunSpec) -> None:
    """Give `config` the context asked for, if that is longer than its own and the model needs to know.

    Rotary positions are computed for whatever comes. There the number in the config is not how far positions
    go, but how far they went in training: scaled ones (dynamic NTK, yarn, long factors) are computed from it,
    and it must stay what the checkpoint says.

    Raises: SpecError when positions come from a learned table, which cannot be stretched.
    """
    import torch

    whole, config = config, text_config(config)
    wanted = spec.max_position_embeddings
    field = next((name for name in _CONTEXT_NAMES if isinstance(getattr(config, name, None), int)), None)
    if wanted is None or field is None or wanted <= getattr(config, field):
        return
    own = getattr(config, field)
    with torch.device("meta"):
        skeleton = transformers.AutoModelForCausalLM.from_config(
            whole, trust_remote_code=spec.trust_remote_code
        )
    tokens = skeleton.get_input_embeddings()
    for name, module in skeleton.named_modules():
        if isinstance(module, torch.nn.Embedding) and module is not tokens and module.num_embeddings == own:
            raise SpecError(
                f"max_position_embeddings {wanted} is more than the {own} positions this model "
                f"has learned ({name}); leave the word out or give at most {own}"
            )
    if not any(getattr(config, sign, None) for sign in _ROTARY_SIGNS):
        setattr(config, field, wanted)


def _pad_token_id(tokenizer: Any) -> int:
    """Return an id to fill with; it is always masked, so that any valid one will do."""
    for ids in (tokenizer.pad_token_id, tokenizer.eos_token_id):
        if ids is not None:
            return int(ids)
    return 0


def _as_engine_error(problem: Exception, path: str) -> EngineError:
    kind = OutOfMemory if is_out_of_memory(problem) else EngineError
    reason = " ".join(str(problem).split())
    # transformers prints which weights do not fit, and says so in words that mean nothing elsewhere.
    return kind(f"cannot load {path}: {type(problem).__name__}: {reason:.600} (more is in the run's log.txt)")
