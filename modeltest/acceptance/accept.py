"""`accept`: whether a port may go out, from as few questions of a reference pack as it takes."""

from __future__ import annotations

from collections.abc import Collection, Generator, Iterable, Mapping, Sequence

from modeltest.acceptance.advice import locate_words
from modeltest.acceptance.asking import PackScorer, Unit, request_of
from modeltest.acceptance.judging import Asked, Judging, drop_limits_of
from modeltest.acceptance.opening import capabilities_for, manifest_of, pack_of, pack_options
from modeltest.acceptance.telling import summary_of
from modeltest.api import (
    AcceptanceSummary,
    Argument,
    Capability,
    Completion,
    Mode,
    ModelInfo,
    Pack,
    PackText,
    PackWording,
    Request,
    RunSpec,
    Sample,
    Score,
    SpecError,
)
from modeltest.packs.drafting import tokenizer_digest

NAME = "accept"


class Accept:
    """Asks until every test has decided; see `modeltest accept --help`."""

    name = NAME
    title = "whether a port may go out, by a reference pack: modeltest accept"
    modes = (Mode(NAME, NAME, "", (Argument.PACK,)),)

    def check(self, spec: RunSpec) -> None:
        """Refuse a pack that is none, or whose tasks are not here, and a limit that it cannot tell.

        Raises: SpecError, PrerequisiteError.
        """
        self.requires(spec)
        drop = pack_options(spec).max_drop
        if drop is not None and not 0 < drop < 1:
            raise SpecError(f"a drop of {drop:g} cannot be excluded; give more than 0% and less than 100%")

    def requires(self, spec: RunSpec) -> frozenset[Capability]:
        """Return what the questions need; texts are told where the engine can."""
        return capabilities_for(manifest_of(spec)) - {Capability.TOKEN_LOGPROBS}

    def open(self, spec: RunSpec, capabilities: Collection[Capability], model: ModelInfo) -> AcceptInquiry:
        """Read the pack. Raises: SpecError, PrerequisiteError."""
        pack = pack_of(spec)
        tells = Capability.TOKEN_LOGPROBS in capabilities
        return AcceptInquiry(pack, _judging(pack, spec, model, tells_tokens=tells))

    def summarize_answers(
        self, samples: Iterable[Sample], spec: RunSpec, model: ModelInfo
    ) -> AcceptanceSummary:
        """Judge the answers again, in the order in which they were asked for. Raises: SpecError."""
        pack, options = pack_of(spec), pack_options(spec)
        by_id = {sample.score.request_id: sample for sample in samples}
        inquiry = AcceptInquiry(pack, _judging(pack, spec, model, tells_tokens=_tells_tokens(pack, by_id)))
        inquiry.replay(by_id)
        return summary_of(
            inquiry.judging,
            pack_sha256=options.sha256,
            answers_alone=options.answers_alone,
            tokenizer_sha256=tokenizer_digest(model.files),
            locate=locate_words(spec, pack.manifest),
        )


class AcceptInquiry:
    """The questions and texts of a pack, window by window."""

    def __init__(self, pack: Pack, judging: Judging) -> None:
        """Begin with nothing asked. Raises: as `PackScorer`."""
        self.judging = judging
        self._scorer = PackScorer(pack)
        texts = len(pack.texts) if judging.tokens is not None else 0
        limit = judging.asked.questions
        self.most = (
            len(pack.wordings)
            + texts
            + (len(pack.questions) if limit is None else min(limit, len(pack.questions)))
        )

    def windows(self) -> Generator[Sequence[Request], Sequence[Sample], None]:
        """Yield windows sorted by prompt, so that equal beginnings are neighbours; take them as drawn."""
        while window := self.judging.window():
            samples = yield [request_of(unit) for unit in sorted(window, key=_place)]
            self._take(window, {sample.score.request_id: sample for sample in samples})

    def replay(self, samples: Mapping[str, Sample]) -> None:
        """Take what was answered, as far as whole windows go."""
        while (window := self.judging.window()) and all(unit.id in samples for unit in window):
            self._take(window, samples)

    def score(self, completion: Completion) -> Score:
        """Judge one completion."""
        return self._scorer.score(completion)

    def _take(self, window: Sequence[Unit], samples: Mapping[str, Sample]) -> None:
        self.judging.take([(unit, self._scorer.answer(samples[unit.id])) for unit in window])


def _tells_tokens(pack: Pack, answered: Collection[str]) -> bool:
    """Whether the engine told texts, by what was asked: they are in the first window behind the prompts."""
    others = set(answered) - {each.id for each in pack.wordings}
    return not others or not others.isdisjoint(each.id for each in pack.texts)


def _judging(pack: Pack, spec: RunSpec, model: ModelInfo, *, tells_tokens: bool) -> Judging:
    options = pack_options(spec)
    asked = Asked(
        seed=options.order_seed,
        drop=drop_limits_of(pack, options.max_drop),
        tells_tokens=tells_tokens,
        dtype=spec.dtype or model.dtype,  # engines take the checkpoint's where none is asked for
        questions=options.questions,
    )
    return Judging(pack, asked)


def _place(unit: Unit) -> tuple[int, ...]:
    """Return what sorts it: prompts as text stand before all others, their ids are not known yet."""
    if isinstance(unit, PackWording):
        return ()
    return unit.context if isinstance(unit, PackText) else unit.prompt
