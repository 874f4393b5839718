"""The answers of an accuracy run by question, as little of each as a comparison needs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from modeltest.api import Sample

_FIRST_TOKENS = 3
_SHOWN_CHARACTERS = 200


@dataclass(frozen=True, slots=True)
class Answer:
    """One question of one run. `correct` is `None` where it failed."""

    subject: str
    expected: str
    predicted: str | None
    correct: bool | None
    margin: float | None
    logprobs: tuple[float, ...]
    tokens: tuple[int, ...]
    text: str | None
    prompt_sha256: str
    lost: tuple[int, int]
    """Shots dropped and tokens cut because the prompt was too long."""

    encoded: tuple[int, int]
    """Number and hash of the prompt's token ids."""

    first_tokens: tuple[int, ...]


def read_answers(samples: Iterable[Sample]) -> dict[str, Answer]:
    """Return the answer to every question; of a question journalled twice the last."""
    return {sample.score.request_id: _answer(sample) for sample in samples}


def answered_by_both(
    reference: Mapping[str, Answer], candidate: Mapping[str, Answer]
) -> Iterator[tuple[str, Answer, Answer]]:
    """Yield the questions that neither run failed, in the order of their names."""
    for name in sorted(set(reference) & set(candidate)):
        one, other = reference[name], candidate[name]
        if one.correct is not None and other.correct is not None:
            yield name, one, other


def _answer(sample: Sample) -> Answer:
    score, completion = sample.score, sample.completion
    text = completion.text
    return Answer(
        subject=score.subject,
        expected=score.expected,
        predicted=score.predicted,
        correct=score.correct,
        margin=score.margin,
        logprobs=completion.choice_logprobs,
        tokens=completion.output_tokens,
        text=None if text is None else text[:_SHOWN_CHARACTERS],
        prompt_sha256=sample.prompt_sha256,
        lost=(completion.dropped_shots, completion.cut_prompt_tokens),
        encoded=(len(completion.prompt_tokens), hash(completion.prompt_tokens)),
        first_tokens=completion.prompt_tokens[:_FIRST_TOKENS],
    )
