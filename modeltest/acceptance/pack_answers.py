"""`pack_answers`: everything in a reference pack, asked and not judged.

By it the reference tells its texts, and twins and directions give their answers.
"""

from __future__ import annotations

from collections.abc import Collection, Generator, Iterable, Sequence

from modeltest.acceptance.asking import PackScorer, Unit, drawn_questions, drawn_texts, request_of
from modeltest.acceptance.opening import capabilities_for, manifest_of, pack_of, pack_options
from modeltest.api import (
    AnswersSummary,
    Capability,
    Completion,
    Mode,
    ModelInfo,
    Pack,
    PackOptions,
    Request,
    RunSpec,
    Sample,
    Score,
    SpecError,
)
from modeltest.packs.checks import TEXT_PREFIX

NAME = "pack_answers"


class PackAnswers:
    """Asks the questions of a pack, or the first of each task in the order of a seed, and all its texts."""

    name = NAME
    title = "the questions and texts of a reference pack, unjudged: modeltest reference make"
    modes: tuple[Mode, ...] = ()

    def check(self, spec: RunSpec) -> None:
        """Refuse a pack that is none, or whose tasks are not here.

        Raises: SpecError, PrerequisiteError.
        """
        self.requires(spec)

    def requires(self, spec: RunSpec) -> frozenset[Capability]:
        """Return what the questions and texts need."""
        manifest, options = manifest_of(spec, takes_draft=True), pack_options(spec)
        if not options.only:
            return capabilities_for(manifest, questions=options.questions != 0)
        texts = [name.startswith(TEXT_PREFIX) for name in options.only]
        needed = capabilities_for(manifest, questions=not all(texts))
        return needed if any(texts) else needed - {Capability.TOKEN_LOGPROBS}

    def open(self, spec: RunSpec, capabilities: Collection[Capability], model: ModelInfo) -> PackInquiry:
        """Read the pack. Raises: SpecError, PrerequisiteError."""
        pack, options = pack_of(spec, takes_draft=True), pack_options(spec)
        asked = PackInquiry(pack, options)
        if options.only and asked.most != len(options.only):
            raise SpecError("the reference pack lacks some of the questions and texts that are to be asked")
        return asked

    def summarize_answers(self, samples: Iterable[Sample], spec: RunSpec, model: ModelInfo) -> AnswersSummary:
        """Count the answers. Raises: SpecError."""
        options = pack_options(spec)
        limit = options.questions
        manifest = manifest_of(spec, takes_draft=True)
        asked = (task.questions if limit is None else min(limit, task.questions) for task in manifest.tasks)
        failures = [sample.score.error is not None for sample in samples]
        return AnswersSummary(
            answered=failures.count(False),
            expected=len(options.only) or sum(asked) + manifest.texts,
            failed=failures.count(True),
        )


class PackInquiry:
    """The questions and texts of a pack, in one window."""

    def __init__(self, pack: Pack, options: PackOptions) -> None:
        """Draw the questions. Raises: as `PackScorer`."""
        self._asked: list[Unit] = [
            *drawn_questions(pack, options),
            *drawn_texts(pack, options),
        ]
        self._scorer = PackScorer(pack)
        self.most = len(self._asked)

    def windows(self) -> Generator[Sequence[Request], Sequence[Sample], None]:
        """Yield everything at once: nothing depends on the answers."""
        if self._asked:
            yield [request_of(one) for one in self._asked]

    def score(self, completion: Completion) -> Score:
        """Judge one completion."""
        return self._scorer.score(completion)
