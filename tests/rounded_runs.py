"""Accuracy runs in float32 and bfloat16 made by hand: what rounding does to choices, and a fault."""

from dataclasses import replace
from random import Random

from made_answers import sample
from made_runs import ENGINE, accuracy_result

from modeltest.api import RunResult

QUESTIONS = 300
ROUNDING = 0.05
"""Standard deviation of what rounding does to a log-probability, in nats."""


def rounded_run(seed: int | None, *, fault: float = 0.0, questions: int = QUESTIONS) -> RunResult:
    """Return a run in float32, or with a seed one in bfloat16 with rounding of its own.

    `fault` is how far it moves the likelier choices up, in nats.
    """
    draw = Random(seed)
    samples = []
    for number, choices in enumerate(_choices(questions)):
        told = choices if seed is None else _moved(choices, draw, fault)
        answer = "yes" if told[0] > told[1] else "no"
        samples.append(sample(f"boolq/{number}", answer, logprobs=told))
    dtype = "float32" if seed is None else "bfloat16"
    return accuracy_result(samples, engine=replace(ENGINE, dtype=dtype))


def _moved(choices: tuple[float, float], draw: Random, fault: float) -> list[float]:
    likelier = max(choices)
    return [each + draw.gauss(0, ROUNDING) + (fault if each == likelier else 0.0) for each in choices]


def _choices(questions: int) -> list[tuple[float, float]]:
    """Return log-probabilities of two choices, whose margins are wider than what rounding bridges."""
    draw = Random("questions")
    found = []
    for _ in range(questions):
        best = -draw.uniform(0.05, 1.0)
        other = best - draw.uniform(1.0, 3.0)
        found.append((best, other) if draw.random() < 0.7 else (other, best))
    return found
