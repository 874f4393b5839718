"""The scoring protocols whose numbers can be compared with other harnesses, and the options they take."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random
from types import MappingProxyType
from typing import Final

from modeltest.api import Record, RunSpec, SpecError

MODELTEST: Final = "modeltest"
"""The rules of MindIE-LLM's tests/modeltest, for comparison with published Ascend results."""

LM_EVAL: Final = "lm-eval"
"""The rules of EleutherAI's lm-evaluation-harness, for comparison with everybody else."""

LM_EVAL_FLEXIBLE: Final = "lm-eval-flexible"
"""As lm-eval, scored by the second rule of a task that has two there; of the tasks that name it."""

PROTOCOLS: Final[Mapping[str, str]] = MappingProxyType({MODELTEST: "1", LM_EVAL: "0.4.13"})
"""Version by protocol: our own count of rule changes, and the release whose prompts are reproduced.

What most tasks know; a task may know more.
"""


def check_protocol(spec: RunSpec, known: Mapping[str, str] = PROTOCOLS) -> None:
    """Refuse a protocol that the task does not know, and a number of shots that no task knows.

    Raises: SpecError.
    """
    if spec.protocol not in known:
        available = ", ".join(sorted(known))
        raise SpecError(f"unknown protocol {spec.protocol!r} of task {spec.task!r}; available: {available}")
    if shot_count(spec) < 0:
        raise SpecError(f"number of shots {shot_count(spec)} is negative; use 0 or more")


def shot_count(spec: RunSpec) -> int:
    """Return the number of worked examples asked for; none unless the word was given."""
    return spec.options.shots or 0


def first_shots(available: Sequence[Record], count: int, *, subject: str) -> Sequence[Record]:
    """Return the first `count` worked examples in file order.

    Raises: SpecError when there are fewer.
    """
    _check_enough(available, count, subject)
    return available[:count]


def drawn_shots(available: Sequence[Record], count: int, *, subject: str, random: Random) -> Sequence[Record]:
    """Return `count` worked examples that `random` draws; a draw of none leaves its state alone.

    Source: lm-evaluation-harness 0.4.13, api/samplers.py (`ContextSampler`).

    Raises: SpecError when there are fewer.
    """
    _check_enough(available, count, subject)
    return random.sample(available, count) if count else ()


def _check_enough(available: Sequence[Record], count: int, subject: str) -> None:
    if count > len(available):
        raise SpecError(
            f"{count} shots asked for, but {subject!r} has {len(available)} examples; "
            f"use {len(available)} shots or fewer"
        )
