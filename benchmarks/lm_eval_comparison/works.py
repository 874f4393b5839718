"""What is asked of which model: the jobs of the comparison and the figures they are to reach."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

SMALL = "15M"
LARGE = "135M"
TRAINED = "smollm2"

DTYPES = {"fp32": "float32", "bf16": "bfloat16"}
"""Words of dtypes, and what torch and lm-eval call them."""

ROUNDS = {SMALL: 3, LARGE: 2}
"""Rounds by model where the command line names no number; models not named here take three."""

QUICK_QUESTIONS = 5
"""Questions of a subject in a quick look."""


@dataclass(frozen=True, slots=True)
class Work:
    """A task over some subjects; `questions` is how many of each subject a model is asked."""

    name: str
    title: str
    task: str
    shots: int
    subjects: tuple[str, ...]
    questions: Mapping[str, int]
    generates: bool = False
    """Whether answers are greedy texts; else they are the likeliest of given choices."""

    sampler: str | None = None
    """How lm-eval takes the shots, where that is not how its own task of this name does."""


@dataclass(frozen=True, slots=True)
class Goal:
    """What a job is to reach.

    `speed_up` is lm-eval's evaluation time over ModelTest's, `memory_share` ModelTest's peak over lm-eval's,
    `over_floor` ModelTest's evaluation time over the floor, `dtype_gain` ModelTest's evaluation time in fp32
    over that of this job.
    """

    speed_up: float
    memory_share: float
    over_floor: float | None = None
    dtype_gain: float | None = None


@dataclass(frozen=True, slots=True)
class Job:
    """One work with one model in one dtype, repeated for some rounds."""

    work: Work
    model: str
    questions: int
    rounds: int
    goal: Goal | None
    """`None` when fewer questions are asked than the goal was set for."""

    dtype: str = "fp32"

    @property
    def name(self) -> str:
        """A name fit for a folder."""
        return f"{self.work.name}-{self.model}" + ("" if self.dtype == "fp32" else f"-{self.dtype}")

    @property
    def is_exact(self) -> bool:
        """Whether both sides must give the same answers: in float32 rounding decides next to none."""
        return self.dtype == "fp32"

    @property
    def compares_shifts(self) -> bool:
        """Whether log-probabilities are held against what lm-eval's own batch sizes make of them."""
        return not self.is_exact and not self.work.generates


WORKS = {
    work.name: work
    for work in (
        Work(
            "mmlu",
            "MMLU, 5 shots",
            task="mmlu",
            shots=5,
            subjects=(
                "abstract_algebra",
                "college_medicine",
                "high_school_world_history",
                "professional_law",
            ),
            questions={SMALL: 100, LARGE: 25, TRAINED: 25},
        ),
        Work(
            "ceval",
            "C-Eval, 5 shots",
            task="ceval",
            shots=5,
            subjects=(
                "accountant",
                "college_chemistry",
                "electrical_engineer",
                "high_school_history",
                "law",
                "mao_zedong_thought",
                "physician",
                "teacher_qualification",
            ),
            questions={SMALL: 20, TRAINED: 20},
        ),
        Work(
            "boolq",
            "BoolQ, 0 shots",
            task="boolq",
            shots=0,
            subjects=("boolq",),
            questions={SMALL: 400, LARGE: 200, TRAINED: 200},
        ),
        Work(
            "gsm8k",
            "GSM8K, the first 5 shots",
            task="gsm8k",
            shots=5,
            subjects=("gsm8k",),
            questions={TRAINED: 64},
            generates=True,
            sampler="first_n",
        ),
        Work(
            "gsm8k-drawn",
            "GSM8K, 5 shots drawn for each question",
            task="gsm8k",
            shots=5,
            subjects=("gsm8k",),
            questions={TRAINED: 64},
            generates=True,
        ),
    )
}

GOALS = {
    ("mmlu", SMALL, "fp32"): Goal(speed_up=10, memory_share=1 / 3),
    ("mmlu", LARGE, "fp32"): Goal(speed_up=6, memory_share=1 / 3, over_floor=1.25),
    ("ceval", SMALL, "fp32"): Goal(speed_up=8, memory_share=1 / 3),
    ("boolq", SMALL, "fp32"): Goal(speed_up=3, memory_share=1 / 2),
    ("boolq", LARGE, "fp32"): Goal(speed_up=1.4, memory_share=1 / 2),
    ("mmlu", TRAINED, "fp32"): Goal(speed_up=6, memory_share=1 / 3),
    ("mmlu", TRAINED, "bf16"): Goal(speed_up=5, memory_share=1 / 3, over_floor=1.4, dtype_gain=2.5),
    ("ceval", TRAINED, "bf16"): Goal(speed_up=5, memory_share=1 / 3),
    ("boolq", TRAINED, "bf16"): Goal(speed_up=1.4, memory_share=1 / 2),
    ("gsm8k", TRAINED, "fp32"): Goal(speed_up=4, memory_share=1 / 2, over_floor=1.4),
    ("gsm8k", TRAINED, "bf16"): Goal(speed_up=4, memory_share=1 / 2, over_floor=1.4),
}


def choose_jobs(
    works: Sequence[str],
    models: Sequence[str],
    dtypes: Sequence[str] = (),
    *,
    limit: int | None,
    rounds: int | None,
    quick: bool,
) -> list[Job]:
    """Return the jobs of the named works, models and dtypes, small models first.

    No model named means those with random weights. No work named means those that have a number of questions
    for the model, and for a named model also every other work of choices. No dtype named means those with a
    goal; where none has one, float32, and for the trained model both. Where a work has no number for a model,
    that of the first model it has one for holds.
    """
    names = models or tuple(ROUNDS)
    jobs = [
        _job(WORKS[work], model, dtype)
        for model in names
        for work in works or tuple(WORKS)
        if _is_meant(WORKS[work], model, by_model=bool(models), by_work=bool(works))
        for dtype in dtypes or _dtypes_with_goals(work, model)
    ]
    if quick:
        jobs = [replace(job, questions=min(job.questions, QUICK_QUESTIONS), rounds=1) for job in jobs]
    if limit is not None:
        jobs = [replace(job, questions=min(job.questions, limit)) for job in jobs]
    if rounds is not None:
        jobs = [replace(job, rounds=rounds) for job in jobs]
    return [_without_goal_if_reduced(job) for job in jobs]


def _is_meant(work: Work, model: str, *, by_model: bool, by_work: bool) -> bool:
    if model in work.questions:
        return True
    return by_model and (by_work or not work.generates)


def _dtypes_with_goals(work: str, model: str) -> tuple[str, ...]:
    found = tuple(dtype for dtype in DTYPES if (work, model, dtype) in GOALS)
    # A work without goals is asked in every dtype of the model that has any.
    return found or (tuple(DTYPES) if model == TRAINED else ("fp32",))


def _job(work: Work, model: str, dtype: str) -> Job:
    goal = GOALS.get((work.name, model, dtype))
    return Job(work, model, _questions(work, model), ROUNDS.get(model, 3), goal=goal, dtype=dtype)


def _questions(work: Work, model: str) -> int:
    return work.questions.get(model, next(iter(work.questions.values())))


def _without_goal_if_reduced(job: Job) -> Job:
    is_whole = job.questions == _questions(job.work, job.model)
    return job if is_whole else replace(job, goal=None)
