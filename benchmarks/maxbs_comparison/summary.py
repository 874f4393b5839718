"""What the rounds say, and whether the goal is reached."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from lm_eval_comparison.markdown import table
from maxbs_comparison.rounds import Answer, Question, Round

GOAL = 5.0
"""How many times less wall time the search is to take."""

WAYS = {
    "predecessor": "bisection, a load per probe",
    "modeltest": "ModelTest",
    "quick": "ModelTest, `--quick`",
}
"""What each answer of a `Round` is called."""


@dataclass(frozen=True, slots=True)
class Summary:
    """Medians over the rounds, of one way to search; `missed` names the goals that were not reached."""

    times_faster: float
    predecessor_wall_s: float
    wall_s: float
    missed: tuple[str, ...]


def summarize(question: Question, rounds: Sequence[Round], way: str = "modeltest") -> Summary:
    """Return the medians and what was missed: the time, or an answer worse than the predecessor's.

    `way` is the field of `Round` that is judged: `modeltest` or `quick`.
    """
    theirs = median(each.predecessor.wall_s for each in rounds)
    ours = median(getattr(each, way).wall_s for each in rounds)
    missed = [] if theirs >= GOAL * ours else [f"{theirs / ours:.1f} times less wall time, goal {GOAL:g}"]
    worse = [
        number
        for number, each in enumerate(rounds, start=1)
        if not is_same_or_better(question, each, getattr(each, way))
    ]
    missed += [f"a worse answer in round {number}" for number in worse]
    return Summary(theirs / ours, theirs, ours, tuple(missed))


def is_same_or_better(question: Question, found: Round, ours: Answer) -> bool:
    """Say whether the answer `ours` is within the limit, and no smaller than a right one of the predecessor.

    The referee says what is within the limit. Where all its trials of both answers overlap, no measurement
    tells them apart, and they are the same.
    """
    theirs = found.predecessor
    if not _is_right(question, ours):
        return not _is_right(question, theirs) and ours.max_batch is None
    if not _is_right(question, theirs) or (ours.max_batch or 0) >= (theirs.max_batch or 0):
        return True
    our_trials, their_trials = found.referee[ours.max_batch or 0], found.referee[theirs.max_batch or 0]
    return max(our_trials) >= min(their_trials)


def document(
    question: Question, rounds: Sequence[Round], *, model: str, machine: Mapping[str, str], command: str
) -> str:
    """Return command, machine, the question and the table."""
    described = "; ".join(f"{name} {value}" for name, value in machine.items())
    asked = (
        f"Largest batch in [{question.lowest}, {question.highest}] whose non-first-token time is at most "
        f"{question.limit_ms:g} ms; {question.input_tokens} input and {question.output_tokens} output "
        f"tokens, model {model}, engine hf in fp32 on the cpu."
    )
    rows = [
        _row(number, name, question, getattr(each, way))
        for number, each in enumerate(rounds, start=1)
        for way, name in WAYS.items()
    ]
    head = ("round", "search", "answer", "status", "referee ms", "within", "wall s", "loads", "batches run")
    result = " ".join(_result(WAYS[way], summarize(question, rounds, way)) for way in ("modeltest", "quick"))
    note = (
        "The referee measures the answers in turn in a process of its own; its median says whether an "
        "answer is within the limit."
    )
    probes = "\n".join(
        f"- round {number}: {name} measured {', '.join(map(str, getattr(each, way).probes))}"
        for number, each in enumerate(rounds, start=1)
        for way, name in WAYS.items()
    )
    parts = (
        f"```bash\n{command}\n```",
        described + ".",
        asked,
        table(head, rows, words=4),
        result,
        probes,
        note,
    )
    return "\n\n".join(parts) + "\n"


def _result(name: str, summary: Summary) -> str:
    verdict = "missed: " + "; ".join(summary.missed) if summary.missed else "reached"
    return (
        f"{name}: **{summary.times_faster:.1f} times less wall time** (goal {GOAL:g}), "
        f"{summary.predecessor_wall_s:.1f} s and {summary.wall_s:.1f} s; goals {verdict}."
    )


def _row(number: int, name: str, question: Question, answer: Answer) -> tuple[str, ...]:
    within = "-" if answer.referee_ms is None else "yes" if _is_right(question, answer) else "no"
    return (
        str(number),
        name,
        "none" if answer.max_batch is None else str(answer.max_batch),
        answer.status,
        "-" if answer.referee_ms is None else f"{answer.referee_ms:.2f}",
        within,
        f"{answer.wall_s:.1f}",
        str(answer.loads),
        str(answer.trials),
    )


def _is_right(question: Question, answer: Answer) -> bool:
    return answer.referee_ms is not None and answer.referee_ms <= question.limit_ms
