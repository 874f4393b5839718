"""How header, worked examples and question become one text or one conversation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from modeltest.api import ChatPrompt, TextPrompt, Turn


@dataclass(frozen=True, slots=True)
class WorkedExample:
    """A question, ending where the answer is expected, and its answer."""

    question: str
    answer: str


def lay_out(
    header: str, shots: Sequence[WorkedExample], question: str, *, chat: bool
) -> TextPrompt | ChatPrompt:
    """Return the prompt as text or, with `chat`, as turns.

    As text an answer follows its question after one space and a blank line ends the example. As turns the
    header, its line ends included, is the system message, and the separators are the template's business.

    Source: lm-evaluation-harness 0.4.13, api/task.py (`fewshot_context`); MindIE-LLM tests/modeltest lays
    out its shots alike.
    """
    if chat:
        return _as_turns(header, shots, question)
    return TextPrompt(header, tuple(f"{shot.question} {shot.answer}\n\n" for shot in shots), question)


def _as_turns(header: str, shots: Sequence[WorkedExample], question: str) -> ChatPrompt:
    return ChatPrompt(
        header=(Turn("system", header),) if header else (),
        shots=tuple((Turn("user", shot.question), Turn("assistant", shot.answer)) for shot in shots),
        question=(Turn("user", question),),
    )
