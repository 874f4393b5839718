"""What lm-evaluation-harness calls generation kwargs, as far as greedy decoding knows them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from modeltest.api import SpecError

DEFAULT_NEW_TOKENS = 256
"""Of its own model class for transformers."""

_LENGTHS = ("max_gen_toks", "max_new_tokens", "max_tokens", "max_completion_tokens")
"""Names of the limit; the first one given counts."""

_OF_SAMPLING = frozenset({"top_k", "top_p", "min_p", "typical_p", "seed"})
"""They choose among likely tokens and mean nothing to greedy decoding."""

_NEUTRAL: Mapping[str, object] = {
    "num_beams": 1,
    "repetition_penalty": 1.0,
    "presence_penalty": 0.0,
    "frequency_penalty": 0.0,
}
"""Values with which an option changes nothing."""


@dataclass(frozen=True, slots=True)
class GenerationOptions:
    """The limit and the texts that end a generation."""

    max_new_tokens: int
    stop: tuple[str, ...]


def read_generation_options(given: Mapping[str, Any]) -> GenerationOptions:
    """Convert generation kwargs.

    Raises: SpecError for sampling and for anything else that greedy decoding would not do.
    """
    options = dict(given)
    lengths = [options.pop(name, None) for name in _LENGTHS]
    stop = options.pop("until", None) or ()
    _refuse_sampling(options.pop("do_sample", None), options.pop("temperature", None))
    for name, value in options.items():
        if name not in _OF_SAMPLING and not (name in _NEUTRAL and value == _NEUTRAL[name]):
            raise SpecError(
                f"generation option {name}={value!r} is not supported: engines decode greedily, "
                f"and take until, do_sample=False and {' or '.join(_LENGTHS)}"
            )
    return GenerationOptions(
        max_new_tokens=int(next((length for length in lengths if length is not None), DEFAULT_NEW_TOKENS)),
        stop=tuple(text for text in ([stop] if isinstance(stop, str) else stop) if text),
    )


def _refuse_sampling(do_sample: bool | None, temperature: float | str | None) -> None:
    """Refuse what lm-evaluation-harness takes as sampling: a temperature alone asks for it, too."""
    if do_sample or (do_sample is None and float(temperature or 0.0) > 0.0):
        raise SpecError(
            f"sampling is not supported (do_sample={do_sample}, temperature={temperature}): engines decode "
            "greedily; --gen-kwargs do_sample=False asks for that, and the scores are then those of greedy "
            "answers"
        )
