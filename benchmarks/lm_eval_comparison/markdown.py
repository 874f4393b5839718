"""The tables, ready for docs/benchmarks.md: speed and memory, agreement, distance from the floor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lm_eval_comparison.summary import JobSummary
from lm_eval_comparison.works import Job

Result = tuple[Job, JobSummary]

FLOOR_NOTE = (
    "The floor is plain forward calls over exactly the unique tokens: each shared prefix once, what a "
    "question adds once, no padding, no cache, one position of logits per call. GFLOP/s = 2 x non-embedding "
    "parameters x unique tokens / time; beside it the best rate of this machine for one layer's matrices at "
    "the model's own sizes and for a large square product."
)


def document(results: Sequence[Result], *, machine: Mapping[str, str], command: str) -> str:
    """Return everything: machine, command and three tables."""
    described = "; ".join(f"{name} {value}" for name, value in machine.items())
    parts = (
        f"```bash\n{command}\n```",
        f"{described}. fp32 on the cpu, the same batch size for both; times are medians over the rounds, "
        "peak memory is the summed PSS of all processes of a command.",
        speed_table(results),
        agreement_table(results),
        FLOOR_NOTE,
        floor_table(results),
    )
    return "\n\n".join(parts) + "\n"


def speed_table(results: Sequence[Result]) -> str:
    """Return times, memory and the goals."""
    rows = []
    for job, found in results:
        ours, theirs, goal = found.modeltest, found.lm_eval, job.goal
        rows.append(
            (
                job.work.title,
                job.model,
                str(found.agreement.questions),
                _seconds(theirs.evaluate_s),
                _seconds(ours.evaluate_s),
                f"**{found.speed_up:.1f}**" + (f" (goal {goal.speed_up:g})" if goal else ""),
                f"{theirs.questions_per_s:.1f}",
                f"{ours.questions_per_s:.1f}",
                f"{theirs.wall_s:.1f}",
                f"{ours.wall_s:.1f}",
                f"{theirs.peak_bytes / 1e6:.0f}",
                f"{ours.peak_bytes / 1e6:.0f}",
                f"**{found.memory_share:.2f}**" + (f" (goal {goal.memory_share:.2f})" if goal else ""),
            )
        )
    head = (
        "work",
        "model",
        "questions",
        "evaluation s, lm-eval",
        "ModelTest",
        "times faster",
        "questions/s, lm-eval",
        "ModelTest",
        "whole command s, lm-eval",
        "ModelTest",
        "peak MB, lm-eval",
        "ModelTest",
        "share",
    )
    return table(head, rows, words=2)


def agreement_table(results: Sequence[Result]) -> str:
    """Return how far the answers agree, and which goals were missed."""
    rows = []
    for job, found in results:
        agreement = found.agreement
        rows.append(
            (
                job.work.title,
                job.model,
                _of(agreement.equal_prompts, agreement.questions),
                _of(agreement.equal_answers, agreement.questions),
                f"{agreement.largest_difference:.1e}",
                str(agreement.near_ties),
                str(agreement.distinct_answers),
                _verdict(job, found),
            )
        )
    head = (
        "work",
        "model",
        "equal prompts",
        "equal answers",
        "largest difference of log-probabilities",
        "near-ties",
        "distinct answers",
        "goals",
    )
    return table(head, rows, words=2)


def floor_table(results: Sequence[Result]) -> str:
    """Return how far ModelTest is from the work that must be done."""
    rows = []
    for job, found in results:
        share = found.modeltest.forward_share
        goal = job.goal.over_floor if job.goal else None
        rows.append(
            (
                job.work.title,
                job.model,
                str(found.prompt_tokens),
                str(found.unique_tokens),
                _seconds(found.floor_s),
                _seconds(found.modeltest.evaluate_s),
                f"**{found.over_floor:.2f}**" + (f" (goal {goal:g})" if goal else ""),
                "-" if share is None else f"{share:.1%}",
                f"{found.floor_gflop_per_s:.0f}",
                f"{found.modeltest_gflop_per_s:.0f}",
                f"{found.layer_gflop_per_s:.0f}",
                f"{found.square_gflop_per_s:.0f}",
            )
        )
    head = (
        "work",
        "model",
        "prompt tokens",
        "unique tokens",
        "floor s",
        "ModelTest s",
        "over the floor",
        "share in forward calls",
        "GFLOP/s, floor",
        "ModelTest",
        "layer's matrices",
        "square",
    )
    return table(head, rows, words=2)


def _verdict(job: Job, found: JobSummary) -> str:
    if found.missed:
        return "missed: " + ", ".join(found.missed)
    return "reached" if job.goal else "none set"


def _seconds(value: float) -> str:
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def _of(count: int, total: int) -> str:
    return f"{count / total:.0%}" if count == total else f"{count} of {total}"


def table(head: Sequence[str], rows: Sequence[Sequence[str]], *, words: int) -> str:
    """Return a Markdown table whose first `words` columns are text; the others are aligned to the right."""
    marks = ["---"] * words + ["---:"] * (len(head) - words)
    lines = [head, marks, *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
