"""`pack_answers`: everything in a reference pack, asked and not judged.

By it the reference tells its texts, and twins and directions give their answers.
"""

from __future__ import annotations

from collections.abc import Collection, Generator, Iterable, Sequence

from modeltest.acceptance.asking import PackScorer, drawn_questions, request_of
from modeltest.acceptance.opening import capabilities_for, manifest_of, pack_of, pack_options
from modeltest.api import (
    AnswersSummary,
    Capability,
    Completion,
    Mode,
    ModelInfo,
    Pack,
    PackOptions,
    PackQuestion,
    PackText,
    Request,
    RunSpec,
    Sample,
    Score,
)

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
        manifest = manifest_of(spec, takes_draft=True)
        return capabilities_for(manifest, questions=pack_options(spec).questions != 0)

    def open(self, spec: RunSpec, capabilities: Collection[Capability]) -> PackInquiry:
        """Read the pack. Raises: SpecError, PrerequisiteError."""
        return PackInquiry(pack_of(spec, takes_draft=True), pack_options(spec))

    def summarize_answers(self, samples: Iterable[Sample], spec: RunSpec, model: ModelInfo) -> AnswersSummary:
        """Count the answers. Raises: SpecError."""
        limit = pack_options(spec).questions
        manifest = manifest_of(spec, takes_draft=True)
        asked = (task.questions if limit is None else min(limit, task.questions) for task in manifest.tasks)
        failures = [sample.score.error is not None for sample in samples]
        return AnswersSummary(
            answered=failures.count(False),
            expected=sum(asked) + manifest.texts,
            failed=failures.count(True),
        )


class PackInquiry:
    """The questions and texts of a pack, in one window."""

    def __init__(self, pack: Pack, options: PackOptions) -> None:
        """Draw the questions. Raises: as `PackScorer`."""
        self._asked: list[PackQuestion | PackText] = [*drawn_questions(pack, options), *pack.texts]
        self._scorer = PackScorer(pack)
        self.most = len(self._asked)

    def windows(self) -> Generator[Sequence[Request], Sequence[Sample], None]:
        """Yield everything at once: nothing depends on the answers."""
        if self._asked:
            yield [request_of(one) for one in self._asked]

    def score(self, completion: Completion) -> Score:
        """Judge one completion."""
        return self._scorer.score(completion)
