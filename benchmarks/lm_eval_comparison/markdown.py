"""The tables, ready for docs/benchmarks.md: speed and memory, agreement, shifts, distance from the floor."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from lm_eval_comparison.shifts import SIGNIFICANCE
from lm_eval_comparison.summary import JobSummary
from lm_eval_comparison.works import Job

Result = tuple[Job, JobSummary]

_NAMES = ("work", "model", "dtype")
_POSITIONS = 8

FLOOR_NOTE = (
    "The floor is plain forward calls over exactly the unique tokens: each shared prefix once, what a "
    "question adds once, no padding, no cache, one position of logits per call. For the trained model it is "
    "the parts below instead. GFLOP/s = 2 x non-embedding parameters x unique tokens / time; beside it the "
    "best rate of this machine for one layer's matrices at the model's own sizes and for a large square "
    "product."
)
PARTS_NOTE = (
    "The floor of the trained model, by parts: the matrices of all layers, attention with its softmax, and "
    "norms of the unique tokens, each timed by itself at its own sizes; beside their sum the plain forward "
    "calls, in which questions do not attend to what is shared. Texts add steps: their tokens over the "
    "batch size, as if the batch were always full, each as long as a plain step of transformers with a cache "
    "of the mean length, the framework's own work included; last, what reading weights and cache alone takes "
    "at the measured bandwidth of memory."
)
SHIFTS_NOTE = (
    "In bfloat16 two correct computations differ. Shifts are absolute differences of the log-probability of "
    "a choice: between ModelTest and lm-eval at the same batch size, beside those between lm-eval at that "
    "batch size and lm-eval one by one. lm-eval computes its softmax in float32 for this, for else it rounds "
    "what is compared. p is that of shifts no larger than lm-eval's own (one-sided Kolmogorov-Smirnov test "
    f"of the largest shift of each question); below {SIGNIFICANCE:g} the goal is missed."
)
TEXTS_NOTE = "Texts are compared character by character; both sides ask lm-eval's own task."


def document(results: Sequence[Result], *, machine: Mapping[str, str], command: str) -> str:
    """Return everything: machine, command and the tables of what was measured."""
    described = "; ".join(f"{name} {value}" for name, value in machine.items())
    parts = [
        f"```bash\n{command}\n```",
        f"{described}. On the cpu, the same batch size for both; times are medians over the rounds, "
        "peak memory is the summed PSS of all processes of a command.",
        speed_table(results),
    ]
    if of_choices := [(job, found) for job, found in results if not job.work.generates]:
        parts.append(agreement_table(of_choices))
    if of_texts := [(job, found) for job, found in results if job.work.generates]:
        parts += [TEXTS_NOTE, texts_table(of_texts)]
    if shifted := [(job, found) for job, found in results if found.shifts]:
        parts += [SHIFTS_NOTE, shifts_table(shifted)]
    parts += [FLOOR_NOTE, floor_table(results)]
    if in_parts := [(job, found) for job, found in results if "parts_s" in found.floor]:
        parts += [PARTS_NOTE, parts_table(in_parts)]
    return "\n\n".join(parts) + "\n"


def speed_table(results: Sequence[Result]) -> str:
    """Return times, memory and the goals."""
    head = (
        "questions",
        "evaluation s, lm-eval",
        "ModelTest",
        "times faster",
        "than its own fp32",
        "questions/s, lm-eval",
        "ModelTest",
        "whole command s, lm-eval",
        "ModelTest",
        "peak MB, lm-eval",
        "ModelTest",
        "share",
        "goals",
    )

    def cells(job: Job, found: JobSummary) -> tuple[str, ...]:
        ours, theirs, goal = found.modeltest, found.lm_eval, job.goal
        return (
            str(found.agreement.questions),
            _seconds(theirs.evaluate_s),
            _seconds(ours.evaluate_s),
            f"**{found.speed_up:.1f}**" + _goal(goal and goal.speed_up),
            _or_dash(found.dtype_gain, ".1f") + _goal(goal and goal.dtype_gain),
            f"{theirs.questions_per_s:.1f}",
            f"{ours.questions_per_s:.1f}",
            f"{theirs.wall_s:.1f}",
            f"{ours.wall_s:.1f}",
            f"{theirs.peak_bytes / 1e6:.0f}",
            f"{ours.peak_bytes / 1e6:.0f}",
            f"**{found.memory_share:.2f}**" + (f" (goal {goal.memory_share:.2f})" if goal else ""),
            _verdict(job, found),
        )

    return _table(results, head, cells)


def agreement_table(results: Sequence[Result]) -> str:
    """Return how far the chosen answers agree."""
    head = (
        "equal prompts",
        "equal answers",
        "largest difference of log-probabilities",
        "near-ties",
        "distinct answers",
    )

    def cells(_: Job, found: JobSummary) -> tuple[str, ...]:
        agreement = found.agreement
        return (
            _of(agreement.equal_prompts, agreement.questions),
            _of(agreement.equal_answers, agreement.questions),
            f"{agreement.largest_difference:.1e}",
            str(agreement.near_ties),
            str(agreement.distinct_answers),
        )

    return _table(results, head, cells)


def texts_table(results: Sequence[Result]) -> str:
    """Return how many texts are equal, and where the others part."""
    head = (
        "equal prompts",
        "equal texts",
        "mean characters",
        "distinct texts",
        "equal characters before the others part",
    )

    def cells(_: Job, found: JobSummary) -> tuple[str, ...]:
        agreement = found.agreement
        parted = sorted(agreement.different.values())
        return (
            _of(agreement.equal_prompts, agreement.questions),
            _of(agreement.equal_answers, agreement.questions),
            f"{agreement.mean_characters:.0f}",
            str(agreement.distinct_answers),
            ", ".join(map(str, parted[:_POSITIONS])) + (", ..." if len(parted) > _POSITIONS else "") or "-",
        )

    return _table(results, head, cells)


def shifts_table(results: Sequence[Result]) -> str:
    """Return the quantiles of shifts on both sides and whether ModelTest's are larger."""
    head = (
        "questions",
        "median / 90 % / largest shift, lm-eval",
        "ModelTest",
        "other answers, lm-eval",
        "ModelTest",
        "distance",
        "p",
        "larger",
    )

    def cells(_: Job, found: JobSummary) -> tuple[str, ...]:
        shifts = found.shifts
        sides = (shifts.lm_eval, shifts.modeltest)
        return (
            str(shifts.questions),
            *(f"{side.median:.4f} / {side.p90:.4f} / {side.largest:.4f}" for side in sides),
            *(str(side.differing_answers) for side in sides),
            f"{shifts.distance:.3f}",
            f"{shifts.p_value:.2g}",
            "yes" if shifts.are_larger else "no",
        )

    return _table(results, head, cells)


def floor_table(results: Sequence[Result]) -> str:
    """Return how far ModelTest is from the work that must be done."""
    head = (
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

    def cells(job: Job, found: JobSummary) -> tuple[str, ...]:
        return (
            str(found.prompt_tokens),
            str(found.unique_tokens),
            _seconds(found.floor_s),
            _seconds(found.modeltest.evaluate_s),
            f"**{found.over_floor:.2f}**" + _goal(job.goal and job.goal.over_floor),
            _or_dash(found.modeltest.forward_share, ".1%"),
            f"{found.floor_gflop_per_s:.0f}",
            _or_dash(found.modeltest_gflop_per_s, ".0f"),
            f"{found.layer_gflop_per_s:.0f}",
            f"{found.square_gflop_per_s:.0f}",
        )

    return _table(results, head, cells)


def parts_table(results: Sequence[Result]) -> str:
    """Return what the floor of the trained model is made of."""
    head = (
        "matrices s",
        "attention s",
        "norms s",
        "sum s",
        "plain forward calls s",
        "steps",
        "tokens cached a row",
        "a step ms",
        "steps s",
        "reading alone ms",
    )

    def cells(_: Job, found: JobSummary) -> tuple[str, ...]:
        floor = found.floor
        parts = ("matrices_s", "attention_s", "norms_s", "parts_s", "plain_s")
        return (
            *(_seconds(floor[part]) for part in parts),
            *(_steps(floor) if "steps" in floor else ("-",) * 5),
        )

    return _table(results, head, cells)


def _steps(floor: Mapping[str, float]) -> tuple[str, ...]:
    return (
        f"{floor['steps']:.0f}",
        f"{floor['step_cache_tokens']:.0f}",
        f"{floor['step_s'] * 1e3:.1f}",
        _seconds(floor["steps_s"]),
        f"{floor['step_read_s'] * 1e3:.1f} ({floor['bytes_per_s'] / 1e9:.1f} GB/s)",
    )


def _table(
    results: Sequence[Result], head: Sequence[str], cells: Callable[[Job, JobSummary], tuple[str, ...]]
) -> str:
    """Return a table with a row for each job: what it is called, then its cells."""
    rows = [(job.work.title, job.model, job.dtype, *cells(job, found)) for job, found in results]
    return table((*_NAMES, *head), rows, words=len(_NAMES))


def _goal(value: float | None) -> str:
    return f" (goal {value:g})" if value is not None else ""


def _or_dash(value: float | None, how: str) -> str:
    return "-" if value is None else format(value, how)


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
