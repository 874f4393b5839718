"""Packs with as many questions and texts as a verdict takes, and candidates as far away as one likes."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from random import Random

from made_packs import answer_to, computation, letters, made_pack, right, text

from modeltest.api import Pack, PackAnswer, Role

TOKENS = 16
ROUNDING = 0.05
"""Standard deviation, in nats, of what a twin does to every log-probability."""


def noisy_pack(
    questions: int = 200, texts: int = 120, *, near: float = 0.1, wrong: float = 0.3, seed: int = 0
) -> Pack:
    """Return a pack whose reference is sure of all but a share `near` of questions, and wrong in `wrong`.

    Its texts have log-probabilities of -6 to 0. One twin in bfloat16 answered everything, `ROUNDING` off; one
    direction moves the first half of each text up and the second half down.
    """
    random = Random(seed)
    asked = [letters(number) for number in range(questions)]
    pieces = [text(number, tokens=TOKENS) for number in range(texts)]
    pack = made_pack(asked, pieces, twins={"twin": {}})
    reference: dict[str, PackAnswer] = {}
    for number, question in enumerate(asked):
        best = number % 4 if random.random() >= wrong else (number + 1) % 4
        lead = random.uniform(0.0, 0.02) if random.random() < near else random.uniform(1.0, 4.0)
        reference[question.id] = answer_to(question, best, lead=lead)
    for piece in pieces:
        logprobs = tuple(random.uniform(-6.0, 0.0) for _ in range(TOKENS))
        reference[piece.id] = PackAnswer(piece.id, logprobs)
    half = (0.1,) * (TOKENS // 2) + (-0.1,) * (TOKENS // 2)
    direction = {
        piece.id: replace(
            reference[piece.id],
            logprobs=tuple(map(sum, zip(reference[piece.id].logprobs, half, strict=True))),
        )
        for piece in pieces
    }
    computations = (*pack.manifest.computations, computation("way", Role.DIRECTION, fault="tilt:1"))
    answers = {"reference": reference, "way": direction}
    whole = replace(
        pack, manifest=replace(pack.manifest, computations=computations), answers={**answers, "twin": {}}
    )
    return replace(whole, answers={**answers, "twin": candidate(whole, seed=seed + 1)})


def candidate(
    pack: Pack,
    *,
    seed: int = 2,
    rounding: float = ROUNDING,
    fault: Callable[[str, int, float], float] = lambda unit, at, logprob: 0.0,
) -> dict[str, PackAnswer]:
    """Return answers to everything: the reference's, `rounding` off, and off by `fault` as well."""
    random = Random(seed)
    answers = {}
    for unit, known in pack.reference.items():
        logprobs = tuple(
            logprob + random.gauss(0.0, rounding) + fault(unit, at, logprob)
            for at, logprob in enumerate(known.logprobs)
        )
        answers[unit] = scored(pack, unit, logprobs)
    return answers


def scored(pack: Pack, unit: str, logprobs: tuple[float, ...]) -> PackAnswer:
    """Return an answer of these log-probabilities, scored."""
    if unit.startswith("text/"):
        return PackAnswer(unit, logprobs)
    question = next(each for each in pack.questions if each.id == unit)
    order = sorted(range(len(logprobs)), key=lambda at: -logprobs[at])
    predicted = "ABCD"[order[0]]
    return PackAnswer(
        unit,
        logprobs,
        predicted,
        predicted == right(question).predicted,
        logprobs[order[0]] - logprobs[order[1]],
    )


def answered(pack: Pack, answers: Mapping[str, PackAnswer], judging: object) -> object:
    """Have `judging` ask and take `answers` until it asks no more, and return it."""
    while window := judging.window():  # type: ignore[attr-defined]
        judging.take([(unit, answers.get(unit.id)) for unit in window])  # type: ignore[attr-defined]
    return judging
