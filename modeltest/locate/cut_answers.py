"""`locate_cut`: texts told token by token by an engine that serves a cut checkpoint; unjudged. Pure."""

from __future__ import annotations

from collections.abc import Collection, Generator, Iterable, Iterator, Sequence

from modeltest.api import (
    AnswersSummary,
    Capability,
    Completion,
    CutOptions,
    Inquiry,
    Mode,
    ModelInfo,
    Request,
    RunSpec,
    Sample,
    Score,
    SpecError,
    TokenPrompt,
)

NAME = "locate_cut"
_EVERY = 4
"""Of an engine that tells no log-probability of each token every so many tokens are asked, a request each."""


class LocateCut:
    """Asks texts of a cut checkpoint; a step of `modeltest locate` by bisection."""

    name = NAME
    title = "texts told by a checkpoint of the first layers: modeltest locate"
    modes: tuple[Mode, ...] = ()

    def check(self, spec: RunSpec) -> None:
        """Refuse a run without texts. Raises: SpecError."""
        cut_options(spec)

    def requires(self, spec: RunSpec) -> frozenset[Capability]:
        """Return what tells log-probabilities of tokens."""
        return frozenset({capability_for(each_token=cut_options(spec).each_token)})

    def open(self, spec: RunSpec, capabilities: Collection[Capability], model: ModelInfo) -> Inquiry:
        """Return what is asked. Raises: SpecError."""
        return _CutInquiry(cut_options(spec))

    def summarize_answers(self, samples: Iterable[Sample], spec: RunSpec, model: ModelInfo) -> AnswersSummary:
        """Count the answers. Raises: SpecError."""
        failures = [sample.score.error is not None for sample in samples]
        return AnswersSummary(
            answered=failures.count(False),
            expected=len(list(_requests(cut_options(spec)))),
            failed=failures.count(True),
        )


class _CutInquiry:
    """All texts, in one window."""

    def __init__(self, options: CutOptions) -> None:
        self._asked = {request.id: request for request in _requests(options)}
        self.most = len(self._asked)

    def windows(self) -> Generator[Sequence[Request], Sequence[Sample], None]:
        yield list(self._asked.values())

    def score(self, completion: Completion) -> Score:
        """Say whether every token was told."""
        (choice,) = self._asked[completion.request_id].choices
        told = len(completion.token_logprobs[0]) if completion.token_logprobs else None
        error = completion.error
        if error is None and told not in (None, len(choice)):
            error = f"the engine told {told} log-probabilities for the {len(choice)} tokens of a text"
        return Score(completion.request_id, "text", "", "", error=error)


def capability_for(*, each_token: bool) -> Capability:
    """Return what an engine must be capable of to be asked."""
    return Capability.TOKEN_LOGPROBS if each_token else Capability.CHOICE_LOGPROBS


def cut_options(spec: RunSpec) -> CutOptions:
    """Return the texts of a run. Raises: SpecError where it has none."""
    if spec.options.cut is None:
        raise SpecError(f"the task {NAME} asks texts of a cut checkpoint; `modeltest locate` makes it")
    return spec.options.cut


def places_told(options: CutOptions) -> list[int]:
    """Return which tokens are told, counted over all tokens of the texts but the first of each."""
    places: list[int] = []
    begin = 0
    for ids in options.texts:
        count = len(ids) - 1
        places += range(begin, begin + count, 1 if options.each_token else _EVERY)
        begin += count
    return places


def logprobs_told(samples: Iterable[Sample], options: CutOptions) -> list[float]:
    """Return what was told, in the order of `places_told`.

    Raises: SpecError where an answer is missing.
    """
    by_id = {sample.score.request_id: sample.completion for sample in samples}
    told: list[float] = []
    for request in _requests(options):
        completion = by_id.get(request.id)
        if completion is None or completion.error is not None:
            raise SpecError(f"{request.id} of a cut checkpoint was not answered")
        told += completion.token_logprobs[0] if options.each_token else completion.choice_logprobs
    return told


def _requests(options: CutOptions) -> Iterator[Request]:
    for number, ids in enumerate(options.texts):
        if options.each_token:
            yield Request(f"text/{number}", TokenPrompt(ids[:1]), choices=(ids[1:],), each_token=True)
            continue
        for place in range(1, len(ids), _EVERY):
            prompt = TokenPrompt(ids[:place])
            yield Request(f"text/{number}/{place}", prompt, choices=((ids[place],),))
