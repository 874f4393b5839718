"""`locate_standard`: what the reference tells behind each of its layers, in several orders of computation.

The first step of a bisection: the texts as token ids, and what a cut checkpoint of any number of layers is
held against. The plug-in needs no torch; its evaluation does.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modeltest.api import (
    Capability,
    Engine,
    EngineError,
    EngineInfo,
    Evaluation,
    HarnessMetric,
    HarnessSummary,
    HoldingModule,
    Mode,
    PrerequisiteError,
    RunSpec,
    Tell,
    Tokenizing,
)
from modeltest.locate.files import options_of, read_left
from modeltest.locate.prompts import TEXTS
from modeltest.machine.files import write_json
from modeltest.plain.contracts import to_plain
from modeltest.version import __version__

NAME = "locate_standard"
FILE = "standard.json"
WRITTEN_OUT = "eager"
"""What transformers calls attention by matrix products and a softmax of its own."""


@dataclass(frozen=True, slots=True)
class CutStandard:
    """What a checkpoint tells of texts behind each of its layers."""

    ids: tuple[tuple[int, ...], ...]
    """The texts."""

    layers: int
    orders: tuple[tuple[tuple[float, ...], ...], ...]
    """By order of computation, then by number of first layers from 1 on: the log-probabilities of all tokens
    but the first of each text, text by text, in nats."""


class LocateStandard:
    """Asks the reference behind each layer; a step of `modeltest locate` by bisection."""

    name = NAME
    title = "what a checkpoint tells behind each of its layers: modeltest locate"
    modes: tuple[Mode, ...] = ()
    goes_on = True  # anew: nothing is left of a run that was killed

    def check(self, spec: RunSpec) -> None:
        """Refuse a run without texts. Raises: SpecError."""
        options_of(spec)

    def requires(self, spec: RunSpec) -> frozenset[Capability]:
        """Return nothing: what an engine must have, `prepare` checks."""
        return frozenset()

    def environment(self, spec: RunSpec) -> Mapping[str, str]:
        """Return nothing of its own."""
        return {}

    def prepare(self, spec: RunSpec, engine: Engine) -> Evaluation:
        """Refuse an engine that keeps its model. Raises: PrerequisiteError."""
        if not isinstance(engine, HoldingModule) or not isinstance(engine, Tokenizing):
            raise PrerequisiteError(f"engine {engine.name} does not give its model away; {NAME} asks hf")
        return _Evaluation(spec)

    def summarize_files(self, directory: Path) -> HarnessSummary:
        """Return how many layers there are."""
        found = read_standard(directory)
        metric = HarnessMetric(
            task="layers",
            filter="",
            metric="count",
            value=float(found.layers),
            standard_error=None,
            higher_is_better=None,
            shots=None,
            questions=None,
            version=None,
        )
        return HarnessSummary("locate", __version__, (metric,))


def read_standard(directory: Path) -> CutStandard:
    """Return what the run in `directory` was told.

    Raises: as `read_left`.
    """
    return read_left(directory / FILE, CutStandard, NAME)


class _Evaluation:
    """Texts through a loaded model."""

    def __init__(self, spec: RunSpec) -> None:
        self._spec = spec

    def run(self, engine: Engine, info: EngineInfo, *, directory: Path, tell: Tell) -> None:
        """Feed the texts and write `standard.json`."""
        from modeltest.locate.cut_logprobs import logprobs_behind_layers, refuse_infinite

        assert isinstance(engine, HoldingModule)
        assert isinstance(engine, Tokenizing)
        engine.feed_plainly()
        model, texts = engine.module(), self._texts(engine)
        orders: list[tuple[tuple[float, ...], ...]] = []
        for is_other in (False, True):
            with _in_order(model, is_other=is_other) as is_possible:
                if not is_possible:
                    continue
                told = []
                for ids in texts:
                    told.append(logprobs_behind_layers(model, ids))
                    refuse_infinite(told[-1], info.dtype)
                    tell(len(orders) * len(texts) + len(told), 2 * len(texts), "texts")
            cuts = zip(*told, strict=True)
            orders.append(tuple(tuple(one for text in cut for one in text) for cut in cuts))
        standard = CutStandard(tuple(texts), len(orders[0]), tuple(orders))
        write_json(directory / FILE, to_plain(standard))

    def _texts(self, engine: Tokenizing) -> list[tuple[int, ...]]:
        options = options_of(self._spec)
        texts = (options.input_texts or TEXTS)[: self._spec.limit]
        tokenizer = engine.tokenizer()
        cut = [tuple(tokenizer.encode(text, special=True)[: options.max_tokens]) for text in texts]
        if short := next((text for text, ids in zip(texts, cut, strict=True) if len(ids) < 2), None):
            raise EngineError(f"the text {short!r:.60} has no token behind its first one: give another")
        return cut


@contextmanager
def _in_order(model: Any, *, is_other: bool) -> Iterator[bool]:
    """Have `model` compute attention as it does, or written out; say whether it can."""
    before = getattr(model.config, "_attn_implementation", None)
    if not is_other:
        yield True
    elif before is None or before == WRITTEN_OUT:
        yield False
    else:
        model.set_attn_implementation(WRITTEN_OUT)
        try:
            yield True
        finally:
            model.set_attn_implementation(before)
