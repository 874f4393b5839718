"""How far the answers of a computation are from the reference's. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from statistics import fmean

from modeltest.api import Computation, Pack, PackAnswer, Role


@dataclass(frozen=True, slots=True)
class Distance:
    """What parts one computation from the reference; `None`: it answered nothing of the kind."""

    computation: Computation
    questions: int
    flips: int
    """Questions with another answer than the reference's."""

    widest_flip: float | None
    """The widest margin of the reference among these, in nats: rounding flips near-ties alone."""

    mean_shift: float | None
    """Mean of the absolute differences of the log-probabilities of choices, in nats."""

    signed_shift: float | None
    """The same with signs: of a correct computation it is small beside the one without."""

    texts: int
    tokens: int
    mean_token_shift: float | None
    """As `mean_shift`, of the tokens of texts."""

    signed_token_shift: float | None


def distances(pack: Pack) -> list[Distance]:
    """Return the distance of each twin and direction, in the order of the manifest."""
    others = (one for one in pack.manifest.computations if one.role is not Role.REFERENCE)
    return [_distance(pack, computation) for computation in others]


def _distance(pack: Pack, computation: Computation) -> Distance:
    reference, answers = pack.reference, pack.answers[computation.name]
    texts = {text.id for text in pack.texts}
    of_texts = [answer for name, answer in answers.items() if name in texts]
    of_questions = [answer for name, answer in answers.items() if name not in texts]
    shifts = list(_shifts(of_questions, pack))
    token_shifts = list(_shifts(of_texts, pack))
    flips = [answer for answer in of_questions if answer.predicted != reference[answer.id].predicted]
    return Distance(
        computation=computation,
        questions=len(of_questions),
        flips=len(flips),
        widest_flip=max((reference[flip.id].margin or 0.0 for flip in flips), default=None),
        mean_shift=_mean(map(abs, shifts)),
        signed_shift=_mean(shifts),
        texts=len(of_texts),
        tokens=len(token_shifts),
        mean_token_shift=_mean(map(abs, token_shifts)),
        signed_token_shift=_mean(token_shifts),
    )


def _shifts(answers: Iterable[PackAnswer], pack: Pack) -> Iterator[float]:
    for answer in answers:
        for now, then in zip(answer.logprobs, pack.reference[answer.id].logprobs, strict=True):
            yield now - then


def _mean(values: Iterable[float]) -> float | None:
    found = list(values)
    return fmean(found) if found else None
