"""What is asked of which model: the jobs of the comparison and the figures they are to reach."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

SMALL = "15M"
LARGE = "135M"

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


@dataclass(frozen=True, slots=True)
class Goal:
    """What a job is to reach.

    `speed_up` is lm-eval's evaluation time over ModelTest's, `memory_share` ModelTest's peak over lm-eval's,
    `over_floor` ModelTest's evaluation time over the floor.
    """

    speed_up: float
    memory_share: float
    over_floor: float | None = None


@dataclass(frozen=True, slots=True)
class Job:
    """One work with one model, repeated for some rounds."""

    work: Work
    model: str
    questions: int
    rounds: int
    goal: Goal | None
    """`None` when fewer questions are asked than the goal was set for."""

    @property
    def name(self) -> str:
        """A name fit for a folder."""
        return f"{self.work.name}-{self.model}"


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
            questions={SMALL: 100, LARGE: 25},
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
            questions={SMALL: 20},
        ),
        Work(
            "boolq",
            "BoolQ, 0 shots",
            task="boolq",
            shots=0,
            subjects=("boolq",),
            questions={SMALL: 400, LARGE: 200},
        ),
    )
}

GOALS = {
    ("mmlu", SMALL): Goal(speed_up=10, memory_share=1 / 3),
    ("mmlu", LARGE): Goal(speed_up=6, memory_share=1 / 3, over_floor=1.25),
    ("ceval", SMALL): Goal(speed_up=8, memory_share=1 / 3),
    ("boolq", SMALL): Goal(speed_up=3, memory_share=1 / 2),
    ("boolq", LARGE): Goal(speed_up=1.4, memory_share=1 / 2),
}


def choose_jobs(
    works: Sequence[str], models: Sequence[str], *, limit: int | None, rounds: int | None, quick: bool
) -> list[Job]:
    """Return the jobs of the named works and models, small models first; no name means every one.

    A model a work has no number for is asked as many questions as the small one, but only if it is named.
    """
    names = models or tuple(ROUNDS)
    pairs = [
        (WORKS[work], model)
        for model in names
        for work in works or tuple(WORKS)
        if models or model in WORKS[work].questions
    ]
    jobs = [_job(work, model) for work, model in pairs]
    if quick:
        jobs = [replace(job, questions=min(job.questions, QUICK_QUESTIONS), rounds=1) for job in jobs]
    if limit is not None:
        jobs = [replace(job, questions=min(job.questions, limit)) for job in jobs]
    if rounds is not None:
        jobs = [replace(job, rounds=rounds) for job in jobs]
    return [_without_goal_if_reduced(job) for job in jobs]


def _job(work: Work, model: str) -> Job:
    return Job(work, model, _questions(work, model), ROUNDS.get(model, 3), goal=GOALS.get((work.name, model)))


def _questions(work: Work, model: str) -> int:
    return work.questions.get(model, work.questions[SMALL])


def _without_goal_if_reduced(job: Job) -> Job:
    is_whole = job.questions == _questions(job.work, job.model)
    return job if is_whole else replace(job, goal=None)
