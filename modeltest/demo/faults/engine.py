"""The engine `faulty`: another engine whose model, requests or answers have one known fault.

For trying whether a test finds faults. Nothing that it says is true of the engine behind it. Options:

    fault     NAME:STRENGTH of the catalogue (`docs/faults.md`); without a strength, the fault's own
    of        the engine that it is put into                                              [hf]

All others are for that engine.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

from modeltest.api import (
    Capability,
    Completion,
    Demanding,
    Engine,
    EngineError,
    EngineInfo,
    EngineUsage,
    GenerationOptions,
    HoldingModule,
    ModelInfo,
    PrerequisiteError,
    Request,
    Reusable,
    RunSpec,
    Sampling,
    SpecError,
    Tokenizer,
    Tokenizing,
    TokenPrompt,
)
from modeltest.demo.faults.applying import applied, patch_of
from modeltest.demo.faults.catalogue import OF_REQUESTS, Fault, read_asked
from modeltest.demo.faults.requests import (
    Specials,
    as_ids,
    changes_prompts,
    mixed_up,
    other_answer,
    other_request,
)
from modeltest.registry import load_engine

_USUAL = "hf"
"""The engine that a fault is put into when none is named."""

_OWN_OPTIONS = frozenset({"fault", "of"})

_WINDOW_REQUESTS = 1024
"""So many requests are changed and passed on together."""


@dataclass(frozen=True, slots=True)
class FaultyOptions:
    """The options above, converted."""

    fault: Fault
    strength: float
    of: str
    others: Mapping[str, str]
    """Options of the engine that it is put into."""

    @property
    def label(self) -> str:
        """The fault and its strength."""
        return f"{self.fault.name} {self.strength:g}"


class FaultyEngine(Engine):
    """Puts a fault into an engine of transformers, after it has loaded and tried its model."""

    name = "faulty"

    def __init__(self) -> None:
        # Which engine will be behind this one is told when it is asked; what that one lacks is told at load.
        self.capabilities = load_engine(_USUAL).capabilities
        self._inner: Engine | None = None
        self._asked: FaultyOptions | None = None
        self._specials = Specials(begin=0, all=frozenset())
        self._texts: Tokenizer | None = None
        self._undo = ExitStack()

    def obstacle(self, spec: RunSpec | None = None) -> str | None:
        """Return why the engine behind this one can run no model here, or `None`."""
        name = _USUAL if spec is None else spec.engine_options.get("of", _USUAL)
        inner = load_engine(name)
        return inner.obstacle() if isinstance(inner, Demanding) else None

    def check(self, spec: RunSpec, model: ModelInfo) -> None:
        """Refuse unknown faults, several ranks and engines whose model is not in this process."""
        asked = _read_options(spec)
        if spec.world_size != 1:
            raise SpecError(
                f"engine {self.name} runs on one device; the words ask for {spec.world_size}: give 1"
            )
        inner = load_engine(asked.of)
        if asked.fault.where not in OF_REQUESTS and not isinstance(inner, HoldingModule):
            raise PrerequisiteError(
                f"engine {self.name} cannot put {asked.fault.name} into engine {asked.of}, which "
                "does not give its model away; name another with --engine-option of=hf"
            )
        inner.check(_for_inner(spec, asked), model)

    def environment(self, spec: RunSpec, model: ModelInfo) -> Mapping[str, str]:
        """Return what the engine behind this one wants."""
        asked = _read_options(spec)
        return load_engine(asked.of).environment(_for_inner(spec, asked), model)

    def load(self, spec: RunSpec, model: ModelInfo) -> EngineInfo:
        """Load the model, let it be tried as it is, and put the fault in."""
        self._asked = asked = _read_options(spec)
        self._inner = inner = load_engine(asked.of)
        info = inner.load(_for_inner(spec, asked), model)
        if not isinstance(inner, Tokenizing):
            raise PrerequisiteError(f"engine {asked.of} has no tokenizer of its own: name another with of=")
        self._texts = inner.tokenizer()
        self._specials = Specials(self._texts.prefix_token_id, frozenset(info.special_token_ids))
        feeding = self._put_in(inner, asked)
        if feeding and isinstance(inner, Reusable):
            info = replace(inner.begin(_for_inner(spec, asked), model), load_s=info.load_s)
        return replace(
            info,
            engine=self.name,
            notes=(
                f"NOT A REAL ENGINE: {asked.of} with the fault {asked.label}: {asked.fault.what}",
                *feeding,
                *info.notes,
            ),
            implementations={**info.implementations, "engine": asked.of, "fault": asked.label},
            lacking={**info.lacking, **_lacking(self.capabilities, inner)},
        )

    def complete(self, requests: Iterable[Request], *, batch_size: int) -> Iterator[Sequence[Completion]]:
        """Yield the answers of the engine behind this one, to what the fault makes of the requests."""
        if self._inner is None or self._asked is None:
            raise EngineError(f"engine {self.name} is asked before it has loaded a model")
        name, strength = self._asked.fault.name, self._asked.strength
        remaining = iter(requests)
        while window := list(islice(remaining, _WINDOW_REQUESTS)):
            asked = {request.id: request for request in window}
            if changes_prompts(name):
                window, failed = self._read(self._inner, window, batch_size)
                yield from ([each] for each in failed)
            changed = [other_request(name, strength, each, self._specials) for each in window]
            for batch in self._inner.complete(changed, batch_size=batch_size):
                answers = [self._answer(completion, asked) for completion in batch]
                yield mixed_up(name, strength, answers)

    def _read(
        self, inner: Engine, window: Sequence[Request], batch_size: int
    ) -> tuple[list[Request], list[Completion]]:
        """Return the requests as token ids, and the failed answers of those that could not become any.

        What a text becomes is the business of the engine behind this one: it is asked for an answer, of
        which the token ids alone are kept.
        """
        as_text = [each for each in window if not isinstance(each.prompt, TokenPrompt)]
        brief = [replace(each, max_new_tokens=min(each.max_new_tokens, 1)) for each in as_text]
        batches = inner.complete(brief, batch_size=batch_size) if brief else ()
        read = {each.request_id: each for batch in batches for each in batch}
        failed = [each for each in read.values() if each.error is not None]
        lost = {each.request_id for each in failed}
        ids = [
            as_ids(each, read[each.id]) if each.id in read else each for each in window if each.id not in lost
        ]
        return ids, failed

    def peak_memory_bytes(self) -> int | None:
        """Return what the engine behind this one says."""
        return self._inner.peak_memory_bytes() if self._inner else None

    def usage(self) -> EngineUsage:
        """Return what the engine behind this one counted."""
        return self._inner.usage() if self._inner else EngineUsage()

    def tokenizer(self) -> Tokenizer:
        """Return the tokenizer of the checkpoint, which has no fault."""
        if self._texts is None:
            raise EngineError(f"engine {self.name} is asked for its tokenizer before it has loaded a model")
        return self._texts

    def module(self) -> Any:
        """Return the model of the engine behind this one, with the fault in it."""
        return self._holding().module()

    def feed_plainly(self) -> None:
        """Let the engine behind this one feed its model plainly."""
        self._holding().feed_plainly()

    def exchange(self, text: str) -> tuple[str, ...]:
        """Take the fault off the loaded model and put NAME:STRENGTH in, as if it had been loaded with that.

        Returns what to say of how rows are fed: once plainly, they stay so. Sampling left on is asked for at
        load alone.

        Raises: SpecError, NotOfModel.
        """
        if self._inner is None or self._asked is None:
            raise EngineError(f"engine {self.name} can exchange a fault once it has loaded a model")
        fault, strength = read_asked(text)
        if fault.name == "sampling_left_on":
            raise SpecError(f"engine {self.name} leaves sampling on from load: load it with fault={text}")
        self._undo.close()
        self._asked = replace(self._asked, fault=fault, strength=strength)
        return self._put_in(self._inner, self._asked)

    def _holding(self) -> HoldingModule:
        if self._inner is None or self._asked is None:
            raise EngineError(f"engine {self.name} is asked for its model before it has loaded one")
        if not isinstance(self._inner, HoldingModule):
            raise PrerequisiteError(
                f"engine {self._asked.of} does not give its model away; name another with of=hf"
            )
        return self._inner

    def close(self) -> None:
        """Take the fault off and free the model."""
        self._undo.close()
        if self._inner is not None:
            self._inner.close()
        self._inner = self._texts = None

    def _put_in(self, inner: Engine, asked: FaultyOptions) -> tuple[str, ...]:
        """Put a fault of the model into it; return what to say of how rows are fed."""
        if asked.fault.where in OF_REQUESTS:
            return ()
        assert isinstance(inner, HoldingModule)
        notes: tuple[str, ...] = ()
        if patch_of(asked.fault.name).needs_own_attention:
            inner.feed_plainly()
            notes = ("rows are padded: the fault is in the model's own attention, which packs do not use",)
        self._undo.enter_context(applied(inner.module(), asked.fault.name, asked.strength))
        return notes

    def _answer(self, completion: Completion, asked: Mapping[str, Request]) -> Completion:
        assert self._asked is not None
        assert self._texts is not None
        request = asked.get(completion.request_id)
        if request is None:
            return completion
        name, strength = self._asked.fault.name, self._asked.strength
        return other_answer(name, strength, completion, request, self._specials, self._texts)


def _read_options(spec: RunSpec) -> FaultyOptions:
    if "fault" not in spec.engine_options:
        raise SpecError(
            "engine faulty needs a fault: --engine-option fault=NAME:STRENGTH, see docs/faults.md"
        )
    fault, strength = read_asked(spec.engine_options["fault"])
    engine = spec.engine_options.get("of", _USUAL)
    if engine == FaultyEngine.name:
        raise SpecError("engine faulty puts a fault into another engine: give of=hf, or leave it out")
    others = {name: value for name, value in spec.engine_options.items() if name not in _OWN_OPTIONS}
    return FaultyOptions(fault, strength, engine, others)


def _for_inner(spec: RunSpec, asked: FaultyOptions) -> RunSpec:
    """Return what the engine behind is asked for; sampling left on is its own sampling."""
    plain = replace(spec, engine_options=dict(asked.others))
    if asked.fault.name != "sampling_left_on":
        return plain
    generation = spec.options.generation or GenerationOptions(max_new_tokens=1)
    sampled = replace(generation, sampling=Sampling(temperature=asked.strength))
    return replace(plain, options=replace(spec.options, generation=sampled))


def _lacking(claimed: frozenset[Capability], inner: Engine) -> dict[str, str]:
    return {each.value: f"engine {inner.name} is not capable of it" for each in claimed - inner.capabilities}
