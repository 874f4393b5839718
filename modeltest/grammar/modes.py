"""The first two words of the `run.sh` grammar as data: the engine words and the mode words."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from types import MappingProxyType

from modeltest.api import PREDECESSOR_MODES, Argument, Mode, SpecError


@dataclass(frozen=True, slots=True)
class EngineWord:
    """A TYPE word: the dtype it asks for and the engine plug-ins that may serve it, best first.

    `dtype` is `None` when the word leaves it to the checkpoint, `device` when it leaves it to the engine.
    """

    word: str
    dtype: str | None
    engines: tuple[str, ...]
    description: str
    device: str | None = None


_REFERENCE = "cpu"
"""Where a reference is computed, unless another device is demanded: beside what it is a reference for."""

_PAGED = ("mindie_pa", "vllm", "hf_paged", "hf")

ENGINE_WORDS: tuple[EngineWord, ...] = (
    EngineWord("pa_fp16", "float16", _PAGED, "paged attention, float16"),
    EngineWord("pa_bf16", "bfloat16", _PAGED, "paged attention, bfloat16"),
    EngineWord("fa", None, ("mindie_fa", "hf"), "flash attention over a contiguous KV cache"),
    EngineWord("basic", None, ("hf",), "transformers as it comes, for the edge_ modes"),
    EngineWord("hf", None, ("hf",), "transformers, dtype of the checkpoint"),
    EngineWord("hf_fp32", "float32", ("hf",), "transformers, float32: the reference", _REFERENCE),
    EngineWord("hf_bf16", "bfloat16", ("hf",), "transformers, bfloat16", _REFERENCE),
    EngineWord("hf_fp16", "float16", ("hf",), "transformers, float16", _REFERENCE),
    EngineWord("vllm_fp32", "float32", ("vllm",), "vLLM, float32"),
    EngineWord("vllm_bf16", "bfloat16", ("vllm",), "vLLM, bfloat16"),
    EngineWord("vllm_fp16", "float16", ("vllm",), "vLLM, float16"),
    EngineWord("fake", None, ("fake",), "no model: answers made up from a seed"),
    EngineWord("openai", None, ("openai",), "an OpenAI-compatible endpoint"),
    EngineWord("openai_fp32", "float32", ("openai",), "one that you say computes in float32"),
    EngineWord("openai_bf16", "bfloat16", ("openai",), "one that you say computes in bfloat16"),
    EngineWord("openai_fp16", "float16", ("openai",), "one that you say computes in float16"),
)


def all_modes(declared: Iterable[Mode]) -> dict[str, Mode]:
    """Return every mode by its word: the built-in ones and what installed tasks declare.

    A task may add words, and take over a word that already means it and is followed by the same words.

    Raises: SpecError when a word would mean two tasks or be followed by different words.
    """
    modes = {mode.word: mode for mode in PREDECESSOR_MODES}
    for mode in declared:
        known = modes.setdefault(mode.word, mode)
        if known.task != mode.task:
            raise SpecError(
                f"two tasks claim the mode word {mode.word!r}: {known.task} and {mode.task}; "
                "rename one of them or uninstall its package"
            )
        if known.arguments != mode.arguments:
            raise SpecError(
                f"the task {mode.task} declares the mode word {mode.word!r} with the words "
                f"{_names(mode.arguments)}; it is already followed by {_names(known.arguments)}"
            )
        modes[mode.word] = mode
    return modes


def engine_word(word: str, *, installed: Collection[str] = ()) -> EngineWord:
    """Return what the TYPE word `word` means; the name of an installed engine plug-in is one too.

    Raises: SpecError listing the words there are.
    """
    known = {engine.word: engine for engine in ENGINE_WORDS}
    for name in installed:
        known.setdefault(name, EngineWord(name, None, (name,), f"the installed engine {name}"))
    if word not in known:
        available = ", ".join(sorted(known))
        raise SpecError(f"unknown engine {word!r:.80}; available: {available}{did_you_mean(word, known)}")
    return known[word]


OWN_ENGINES = frozenset(name for engine in ENGINE_WORDS for name in engine.engines)
"""The engine plug-ins whose words are above; others say themselves which they serve."""


def engines_of(
    word: str, *, serving: Mapping[str, Collection[str]] = MappingProxyType({})
) -> tuple[str, ...]:
    """Return the engine plug-ins that may serve the TYPE word `word`, best first.

    `serving` has the words that other plug-ins say they serve, by their names: they come behind the engine
    that the word means, and before those that stand in for it. A word that is not in `ENGINE_WORDS` is taken
    as the name of a plug-in.
    """
    first, *stand_ins = next((engine.engines for engine in ENGINE_WORDS if engine.word == word), (word,))
    others = sorted(name for name, words in serving.items() if word in words and name not in OWN_ENGINES)
    return (first, *others, *stand_ins)


def device_of(word: str) -> str | None:
    """Return the device that the TYPE word `word` means; `None` when it leaves it to the engine."""
    return next((engine.device for engine in ENGINE_WORDS if engine.word == word), None)


def did_you_mean(word: str, known: Collection[str]) -> str:
    """Return `; did you mean ...?` with the words of `known` that resemble `word`, or an empty text."""
    wanted = word.lower()
    by_lower = {candidate.lower(): candidate for candidate in sorted(known)}
    close = (
        [candidate for candidate in by_lower if wanted and candidate.startswith(wanted)][:3]
        or get_close_matches(wanted, by_lower)
        # A short word such as `pb` resembles nothing at difflib's usual threshold: take the nearest one then.
        or get_close_matches(wanted, by_lower, n=1, cutoff=0.4)
    )
    return f"; did you mean {' or '.join(by_lower[match] for match in close)}?" if close else ""


def _names(arguments: Iterable[Argument]) -> str:
    return ", ".join(argument.value for argument in arguments) or "none"
