"""The `run.sh` grammar: positional words to a `RunSpec` and back.

    run = TYPE MODE ... MODEL [chat|base] [lora JSONL] WEIGHTS [trust_remote_code] [KW] PLACE [PAR] [MAXPOS]

Words are read from left to right; what may stand next is always decided by the next word alone:

- RANGES of `performance_maxbs` is there when the word begins with `[`; without it every case has [1,2048].
- KW is a word that contains `encrypt`, as in the grammar of MindIE's ModelTest.
- PLACE is a number of chips; a rank table file with four words more; or absent, when nothing but PAR follows.
  A word that is no number and does not begin with `[` is a rank table.
- PAR begins with `[`.

No word is ignored. What does not fit raises a `GrammarError` that ends with the usage of the mode.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import NoReturn, TypeVar

from modeltest.api import (
    AUTO_WORLD_SIZE,
    Argument,
    BatchRange,
    Case,
    Cluster,
    Mode,
    PackOptions,
    Parallel,
    PromptSource,
    RunSpec,
    SpecError,
    TaskOptions,
)
from modeltest.grammar import usage as place
from modeltest.grammar import words as read
from modeltest.grammar.modes import EngineWord, did_you_mean, engine_word
from modeltest.grammar.usage import usage
from modeltest.grammar.write import to_words

__all__ = ["AUTO_MODEL", "DEFAULT_RANGE", "GrammarError", "parse", "to_words", "usage"]

AUTO_MODEL = "auto"
"""The model key that leaves the choice of the profile to config.json."""

DEFAULT_RANGE = BatchRange(1, 2048)
"""Where `performance_maxbs` searches when RANGES is absent."""

PACK_BATCH_SIZE = 8
"""How many questions of a reference pack are asked together: its mode has no word for it."""

T = TypeVar("T")


class GrammarError(SpecError):
    """The words do not follow the grammar; the message ends with the usage of the mode."""

    has_lines = True


def parse(
    words: Sequence[str],
    *,
    modes: Mapping[str, Mode],
    model_keys: Collection[str],
    engines: Collection[str] = (),
) -> RunSpec:
    """Return what the words of `run.sh` ask for.

    `modes` is what `all_modes` gave; `engines` names the installed engine plug-ins, each a TYPE word as well.

    Raises: GrammarError naming the wrong or missing word, its position and what was expected there.
    """
    reader = _Reader(words, modes.get(words[1]) if len(words) > 1 else None)
    engine = reader.take(place.TYPE, partial(_read_engine, installed=engines))
    mode = reader.take(place.MODE, partial(_read_mode, modes=modes))
    arguments = _read_arguments(reader, mode)
    model = reader.take(place.MODEL, partial(_read_model, known=model_keys))
    chat = reader.take_if("chat", "base") == "chat"
    lora = reader.take(place.LORA, read.read_path) if reader.take_if("lora") else None
    weights = reader.take(place.WEIGHTS, read.read_path)
    trust_remote_code = reader.take_if("trust_remote_code") is not None
    kw_args = reader.take(place.KW_ARGS, read.read_kw_args) if "encrypt" in reader.upcoming else None
    devices = _read_devices(reader)
    reader.finish()
    return RunSpec(
        engine=engine.word,
        mode=mode.word,
        task=mode.task,
        model=model,
        weights=weights,
        dtype=engine.dtype,
        split=mode.split,
        options=arguments.options,
        batch_sizes=arguments.batch_sizes,
        cases=arguments.cases,
        world_size=devices.world_size,
        parallel=devices.parallel,
        cluster=devices.cluster,
        chat=chat,
        lora=lora,
        kw_args=kw_args,
        trust_remote_code=trust_remote_code,
        max_position_embeddings=devices.max_position,
    )


@dataclass(frozen=True, slots=True)
class _Arguments:
    """What the words between MODE and MODEL said so far."""

    cases: tuple[Case, ...] = ()
    batch_sizes: tuple[tuple[int, ...], ...] = ()
    options: TaskOptions = field(default_factory=TaskOptions)


@dataclass(frozen=True, slots=True)
class _Devices:
    """What the words from PLACE on said."""

    world_size: int
    cluster: Cluster | None = None
    parallel: Parallel = field(default_factory=Parallel)
    max_position: int | None = None


class _Reader:
    """Takes words from left to right and says what was wrong with the one at hand."""

    def __init__(self, words: Sequence[str], mode: Mode | None) -> None:
        self.mode = mode
        self._words = tuple(words)
        self._position = 0

    @property
    def upcoming(self) -> str:
        """The next word; empty when there is none."""
        return self._words[self._position] if self.has_more else ""

    @property
    def has_more(self) -> bool:
        """Whether a word is left."""
        return self._position < len(self._words)

    def take(self, expected: place.Word, reader: Callable[[str], T], *, note: str = "") -> T:
        """Return the next word as `reader` reads it; `note` is added to the message when it does not fit."""
        if not self.has_more:
            self._fail("is missing", f"expected {expected.meaning}", note)
        try:
            value = reader(self.upcoming)
        except read.WordError as problem:
            self._fail("", f"expected {expected.meaning}", str(problem), note)
        self._position += 1
        return value

    def take_if(self, *literals: str) -> str | None:
        """Return the next word if it is one of `literals`, else leave it."""
        if self.has_more and self.upcoming in literals:
            self._position += 1
            return self._words[self._position - 1]
        return None

    def finish(self) -> None:
        """Refuse any word that is left."""
        if self.has_more:
            self._fail("", "expected no more words", read.explain_extra(self.upcoming))

    def _fail(self, state: str, *reasons: str) -> NoReturn:
        number = self._position + 1
        subject = f"word {number} {state}" if state else f"word {number} {self.upcoming!r:.80}"
        reason = "; ".join(reason for reason in (*reasons, read.explain_place(self.upcoming)) if reason)
        raise GrammarError(f"{subject}: {reason}\n{usage(self.mode)}") from None


def _read_engine(text: str, *, installed: Collection[str]) -> EngineWord:
    try:
        return engine_word(text, installed=installed)
    except SpecError as problem:
        raise read.WordError(str(problem)) from None


def _read_mode(text: str, *, modes: Mapping[str, Mode]) -> Mode:
    if text not in modes:
        available = ", ".join(sorted(modes))
        raise read.WordError(f"unknown mode; available: {available}{did_you_mean(text, modes)}")
    return modes[text]


def _read_model(text: str, *, known: Collection[str]) -> str:
    if text != AUTO_MODEL and text not in known:
        raise read.WordError(
            f"unknown model key {text!r:.80}{did_you_mean(text, known)}; "
            "`modeltest list models` shows all; use `auto` to take it from config.json"
        )
    return text


def _read_arguments(reader: _Reader, mode: Mode) -> _Arguments:
    arguments = _Arguments()
    for argument in mode.arguments:
        arguments = _ARGUMENT_READERS[argument](reader, mode, arguments)
    return arguments


def _read_cases(reader: _Reader, _mode: Mode, given: _Arguments) -> _Arguments:
    return replace(given, cases=reader.take(place.CASES, read.read_cases))


def _read_batch(reader: _Reader, mode: Mode, given: _Arguments) -> _Arguments:
    read_sizes = read.read_batch_sizes
    if place.takes_batch_per_case(mode):
        read_sizes = partial(read.read_batch_sizes_per_case, cases=len(given.cases))
    return replace(given, batch_sizes=reader.take(place.batch_word(mode), read_sizes))


def _read_shots(reader: _Reader, _mode: Mode, given: _Arguments) -> _Arguments:
    shots = reader.take(place.SHOTS, partial(read.read_count, lowest=0))
    return replace(given, options=replace(given.options, shots=shots))


def _read_ranges(reader: _Reader, _mode: Mode, given: _Arguments) -> _Arguments:
    ranges = (DEFAULT_RANGE,) * len(given.cases)
    if read.looks_like_list(reader.upcoming):
        ranges = reader.take(place.RANGES, partial(read.read_ranges, cases=len(given.cases)))
    return replace(given, options=replace(given.options, batch_ranges=ranges))


def _read_limit(reader: _Reader, _mode: Mode, given: _Arguments) -> _Arguments:
    limit_ms = reader.take(place.LIMIT_MS, read.read_limit_ms)
    return replace(given, options=replace(given.options, latency_limit_ms=limit_ms))


def _read_context(reader: _Reader, _mode: Mode, given: _Arguments) -> _Arguments:
    tokens = reader.take(place.CONTEXT, read.read_context_tokens)
    return replace(given, options=replace(given.options, context_tokens=tokens))


def _read_prompt(reader: _Reader, _mode: Mode, given: _Arguments) -> _Arguments:
    prompts = reader.take(place.PROMPT, read.read_prompt)
    return replace(given, options=replace(given.options, prompt_input=prompts))


def _read_pack(reader: _Reader, _mode: Mode, given: _Arguments) -> _Arguments:
    pack = PackOptions(reader.take(place.PACK, read.read_path))
    return replace(given, options=replace(given.options, pack=pack), batch_sizes=((PACK_BATCH_SIZE,),))


def _read_prefill(reader: _Reader, _mode: Mode, given: _Arguments) -> _Arguments:
    batch_size = length = source = None
    if read.is_integer(reader.upcoming):
        batch_size = reader.take(place.PREFILL_BATCH, read.read_count)
    if reader.take_if("prefill_length"):
        length = reader.take(place.PREFILL_LENGTH, read.read_count)
    if reader.take_if("dataset"):
        source = _read_prompt_source(reader)
    options = replace(
        given.options, prefill_batch_size=batch_size, prefill_length=length, prompt_source=source
    )
    return replace(given, options=options)


def _read_prompt_source(reader: _Reader) -> PromptSource:
    dataset = reader.take(place.DATASET, read.read_performance_dataset)
    padding = reader.take_if("padding") is not None
    groups: int | None = 1
    if reader.upcoming == "INF" or read.is_integer(reader.upcoming):
        groups = reader.take(place.GROUPS, read.read_batch_groups)
    return PromptSource(dataset, padding, groups)


_ARGUMENT_READERS: Mapping[Argument, Callable[[_Reader, Mode, _Arguments], _Arguments]] = {
    Argument.CASES: _read_cases,
    Argument.BATCH: _read_batch,
    Argument.SHOTS: _read_shots,
    Argument.RANGES: _read_ranges,
    Argument.LIMIT_MS: _read_limit,
    Argument.CONTEXT: _read_context,
    Argument.PROMPT: _read_prompt,
    Argument.PACK: _read_pack,
    Argument.PREFILL: _read_prefill,
}


def _read_devices(reader: _Reader) -> _Devices:
    if not reader.has_more:
        return _Devices(AUTO_WORLD_SIZE)
    if read.looks_like_list(reader.upcoming):
        return _Devices(AUTO_WORLD_SIZE, parallel=reader.take(place.PARALLEL, read.read_parallel))
    devices = _read_place(reader)
    if read.looks_like_list(reader.upcoming):
        devices = replace(devices, parallel=reader.take(place.PARALLEL, read.read_parallel))
    if reader.has_more:
        devices = replace(devices, max_position=reader.take(place.MAX_POSITION, read.read_max_position))
    return devices


def _read_place(reader: _Reader) -> _Devices:
    if read.is_integer(reader.upcoming):
        return _Devices(reader.take(place.PLACE, partial(read.read_count, lowest=AUTO_WORLD_SIZE)))
    table = reader.take(place.PLACE, read.read_path)
    note = f"{table!r:.80} is not a number, so it was read as a rank table file"
    world_size = reader.take(place.WORLD, read.read_count, note=note)
    nodes = reader.take(place.NODES, partial(read.read_divisor, of=world_size), note=note)
    rank_start = reader.take(
        place.RANK_START, partial(read.read_rank_start, world_size=world_size, nodes=nodes), note=note
    )
    address = reader.take(place.MASTER_IP, read.read_address, note=note)
    return _Devices(world_size, Cluster(table, nodes, rank_start, address))
