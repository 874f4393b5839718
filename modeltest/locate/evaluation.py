"""Loads reference and twin beside the candidate, feeds all three, and writes what was found.

Only the worker imports this module.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from modeltest.api import (
    Engine,
    EngineError,
    EngineInfo,
    HoldingModule,
    ModelInfo,
    PrerequisiteError,
    RunSpec,
    SpecError,
    TaskOptions,
    Tell,
    Tokenizing,
)
from modeltest.locate.answer import Departure, Located, answer_of, departures_in, markdown_of, rows_of
from modeltest.locate.comparing import Comparison, standard_of
from modeltest.locate.files import RESULT_FILE, TABLE_FILE, options_of
from modeltest.locate.parts import layers_of
from modeltest.locate.prompts import TEXTS
from modeltest.locate.weights import weights_off
from modeltest.machine.files import write_json, write_text
from modeltest.models.checkpoint import inspect_checkpoint
from modeltest.plain.contracts import to_plain
from modeltest.registry import load_engine

_REFERENCE_ENGINE = "hf"
_EXACT = "float32"


class LocateEvaluation:
    """A reference whose checkpoint was looked at; `run` compares."""

    def __init__(self, spec: RunSpec, model: ModelInfo) -> None:
        self._spec = spec
        self._model = model

    def run(self, engine: Engine, info: EngineInfo, *, directory: Path, tell: Tell) -> None:
        """Feed the prompts and write `locate.json` and `locate.md`."""
        assert isinstance(engine, HoldingModule)
        engine.feed_plainly()
        candidate = engine.module()
        with self._loaded(_EXACT) as reference, self._loaded(info.dtype) as twin:
            prompts = self._prompts(reference)
            comparison = Comparison()
            for done, ids in enumerate(prompts, start=1):
                standard = standard_of(ids, reference=reference.module(), twin=twin.module())
                comparison.add(standard, candidate)
                tell(done, len(prompts), "prompts")
            off = weights_off(reference.module(), candidate)
        departures = tuple(departures_in(comparison.evidence(), off))
        located = self._located(comparison, departures, prompts, info, layers=len(layers_of(candidate)))
        write_text(directory / TABLE_FILE, markdown_of(located))
        write_json(directory / RESULT_FILE, to_plain(located))

    def _located(
        self,
        comparison: Comparison,
        departures: Sequence[Departure],
        prompts: Sequence[Sequence[int]],
        info: EngineInfo,
        *,
        layers: int,
    ) -> Located:
        return Located(
            answer=answer_of(departures, layers),
            departs=bool(departures),
            departures=tuple(departures),
            rows=rows_of(comparison.evidence(), departures),
            prompts=len(prompts),
            tokens=sum(map(len, prompts)),
            dtype=info.dtype,
            reference=self._model.path,
            reference_fingerprint=self._model.fingerprint,
            layers=layers,
        )

    @contextmanager
    def _loaded(self, dtype: str) -> Iterator[_Reference]:
        """Load the reference's checkpoint in `dtype` on the cpu, where the candidate's device has no part."""
        engine = load_engine(_REFERENCE_ENGINE)
        assert isinstance(engine, HoldingModule)
        spec = _reference_spec(self._spec, dtype)
        try:
            engine.load(spec, self._model)
            engine.feed_plainly()
            yield engine  # type: ignore[misc]
        finally:
            engine.close()

    def _prompts(self, reference: _Reference) -> list[tuple[int, ...]]:
        options = options_of(self._spec)
        texts = (options.input_texts or TEXTS)[: self._spec.limit]
        tokenizer = reference.tokenizer()
        cut = [tokenizer.encode(text, special=True)[: options.max_tokens] for text in texts]
        if empty := next((text for text, ids in zip(texts, cut, strict=True) if not ids), None):
            raise EngineError(f"the text {empty!r:.60} has no tokens: give another")
        return cut


class _Reference(HoldingModule, Tokenizing):
    """An engine that gives its module and its tokenizer away."""


def prepare(spec: RunSpec, engine: Engine) -> LocateEvaluation:
    """Refuse engines without a module, and read the reference's files.

    Raises: PrerequisiteError, SpecError, EngineError.
    """
    if not isinstance(engine, HoldingModule):
        raise PrerequisiteError(
            f"engine {engine.name} does not give its model away, so nothing in it can be looked at; "
            "`modeltest locate --how bisection` finds the layer by checkpoints of the first ones"
        )
    model = inspect_checkpoint(_reference_spec(spec, _EXACT))
    if model.quantize:
        raise SpecError(
            f"--reference {model.path} is quantised ({model.quantize}): give the float checkpoint"
        )
    return LocateEvaluation(spec, model)


def _reference_spec(spec: RunSpec, dtype: str) -> RunSpec:
    return RunSpec(
        engine=_REFERENCE_ENGINE,
        mode=spec.mode,
        task=spec.task,
        model="auto",
        weights=options_of(spec).reference,
        dtype=dtype,
        device="cpu",
        options=TaskOptions(locate=options_of(spec)),
        trust_remote_code=spec.trust_remote_code,
        allow_dtype_cast=True,
    )
