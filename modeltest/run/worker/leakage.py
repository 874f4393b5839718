"""Leaked questions: those asked twice, or that are among their own worked examples. Pure.

It looks at prompts, not at rows: so it holds of every task, and of shots wherever they come from.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from modeltest.api import ChatPrompt, Finding, FindingCode, Request, TextPrompt

NAMED = 5
"""So many questions are named; the published data of MMLU has 105 that repeat another."""


def leaks(requests: Iterable[Request]) -> Iterator[Finding]:
    """Yield what is odd about the questions of a run, each kind once, with the number and the first ids."""
    seen: set[int] = set()
    repeated: list[str] = []
    among_shots: list[str] = []
    for request in requests:
        question, shots = _parts(request)
        if question is None:
            continue
        if hash(question) in seen:
            repeated.append(request.id)
        seen.add(hash(question))
        if any(shot.startswith(question) for shot in shots):
            among_shots.append(request.id)
    for code, found in (
        (FindingCode.QUESTIONS_AMONG_SHOTS, among_shots),
        (FindingCode.REPEATED_QUESTIONS, repeated),
    ):
        if found:
            yield Finding(code, {"count": len(found), "questions": tuple(found[:NAMED])})


def _parts(request: Request) -> tuple[str | None, tuple[str, ...]]:
    """Return the question and each worked example as text; no question where the prompt has only tokens."""
    prompt = request.prompt
    if isinstance(prompt, TextPrompt):
        return prompt.question, prompt.shots
    if isinstance(prompt, ChatPrompt):
        return prompt.question[-1].content, tuple(shot[0].content for shot in prompt.shots if shot)
    return None, ()
